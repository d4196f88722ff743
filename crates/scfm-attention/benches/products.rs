//! Rates of the matrix products of a forward pass, beside that of a large square one, which is what the machine gives.

use candle_core::{D, DType, Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use scfm_attention::internals::product;

/// Part of a matrix of `width` columns, as the heads of a projection are.
fn matrix(rows: usize, columns: usize, width: usize) -> Tensor {
    let all = Tensor::rand(-1.0f32, 1.0, (rows, width), &Device::Cpu).expect("a matrix");
    assert_eq!(all.dtype(), DType::F32);
    all.narrow(D::Minus1, 0, columns)
        .expect("fewer columns than there are")
}

fn products(c: &mut Criterion) {
    let mut group = c.benchmark_group("products");
    group.sample_size(20);
    for (name, rows, inner, columns, width, transposed) in [
        ("square", 2048, 2048, 2048, 2048, false),
        ("projection-v1", 2048, 256, 256, 256, true),
        ("expand-v1", 2048, 256, 512, 256, true),
        ("contract-v1", 2048, 512, 256, 512, true),
        ("logits-v1", 256, 64, 2048, 256, true),
        ("context-v1", 256, 2048, 64, 256, false),
        ("projection-v2", 1024, 1152, 1152, 1152, true),
        ("expand-v2", 1024, 1152, 4608, 1152, true),
        ("contract-v2", 1024, 4608, 1152, 4608, true),
        ("logits-v2", 512, 64, 1024, 1152, true),
        ("context-v2", 512, 1024, 64, 1152, false),
    ] {
        let left_width = if name.starts_with("logits") { width } else { inner };
        let a = matrix(rows, inner, left_width);
        let b = match transposed {
            true => matrix(columns, inner, width).t().expect("a matrix"),
            false => matrix(inner, columns, width.max(columns)),
        };
        group.throughput(Throughput::Elements(2 * (rows * inner * columns) as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bench| {
            bench.iter(|| product(&a, &b));
        });
    }
    group.finish();
}

criterion_group!(benches, products);
criterion_main!(benches);
