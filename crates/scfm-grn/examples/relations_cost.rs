//! What profiles and partial correlations cost at the size of a published panel: 2,000 genes, 18 layers, relations of 240,000,
//! 136,000, 25,000, 2,700 and 1,700 pairs and a network of 175.
//!
//! `cargo run --release -p scfm-grn --example relations_cost`

use std::fmt::Write as _;
use std::time::Instant;

use ndarray::{Array2, ArrayView2};
use rand::{Rng, RngExt};
use scfm_core::{Panel, Seeds};
use scfm_grn::{
    CandidateUniverse, Format, GeneNames, NamedRelation, PairSet, ReferenceNetwork, Relation, RelationParams,
    layer_relations, partial_memberships,
};

const GENES: usize = 2_000;
const LAYERS: usize = 18;
const RESAMPLES: usize = 9_999;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seeds = Seeds::new(0);
    let rng = &mut seeds.stream("cost", "scores", 0);
    let mut relations = Vec::new();
    for (name, n_pairs) in [
        ("reactome", 240_000),
        ("go", 136_000),
        ("kegg", 25_000),
        ("string-700", 2_700),
        ("string-900", 1_700),
    ] {
        let mut pairs = PairSet::new(GENES);
        for _ in 0..n_pairs {
            pairs.insert(rng.random_range(0..GENES), rng.random_range(0..GENES));
        }
        relations.push(NamedRelation {
            name,
            relation: Relation::Undirected(pairs),
        });
    }
    let panel = Panel::new((0..GENES).map(|gene| format!("G{gene}")))?;
    let mut text = String::new();
    for _ in 0..175 {
        writeln!(
            text,
            "G{}\tG{}",
            rng.random_range(0..60),
            rng.random_range(60..GENES)
        )?;
    }
    let network = ReferenceNetwork::from_reader("network", text.as_bytes(), Format::EdgeList)?;
    let universe = CandidateUniverse::new(&network, &panel, &panel, GeneNames::default())?;
    relations.push(NamedRelation {
        name: "trrust",
        relation: Relation::Directed(universe),
    });
    let layers: Vec<Array2<f32>> = (0..LAYERS).map(|_| uniform(rng)).collect();
    let mut coexpression = uniform(rng);
    for a in 0..GENES {
        for b in 0..a {
            coexpression[[a, b]] = coexpression[[b, a]];
        }
    }

    let views: Vec<ArrayView2<'_, f32>> = layers.iter().map(|layer| layer.view()).collect();
    let params = RelationParams {
        n_bootstrap: RESAMPLES,
        enriched_layers: RelationParams::spread(LAYERS),
        n_top: 1_000,
    };
    let start = Instant::now();
    let stream = |purpose: &str, i| seeds.stream("cost", purpose, i);
    let found = layer_relations(&views, coexpression.view(), &relations, &params, |i| {
        stream("genes", i)
    })?;
    for relation in &relations {
        let trend = found.depth(relation.name).expect("a relation that was given");
        println!("{:<12} p = {:?}", relation.name, trend.map(|test| test.p.p()));
    }
    println!("profiles: {:.1} s", start.elapsed().as_secs_f64());

    let start = Instant::now();
    let tested: Vec<NamedRelation> = relations
        .iter()
        .filter(|relation| !relation.name.starts_with("string"))
        .cloned()
        .collect();
    partial_memberships(views[13], coexpression.view(), &tested, RESAMPLES, stream)?;
    println!("partial correlations: {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn uniform(rng: &mut impl Rng) -> Array2<f32> {
    Array2::from_shape_simple_fn((GENES, GENES), || rng.random::<f32>())
}
