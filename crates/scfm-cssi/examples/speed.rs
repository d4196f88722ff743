use std::time::Instant;
use ndarray::Array2;
use scfm_cssi::*;
fn main() {
    let folder = std::env::args().nth(1).unwrap();
    let pcs: Array2<f32> = ndarray_npy::read_npy(format!("{folder}/w10_pcs.npy")).unwrap();
    let t = Instant::now();
    let n = nearest_neighbours(pcs.view(), 15).unwrap();
    println!("knn {:?} sum {}", t.elapsed(), n.distances.sum());
    let t = Instant::now();
    let g = Graph::fuzzy(&n);
    println!("fuzzy {:?} {} edges sum {}", t.elapsed(), g.n_edges(), (0..g.n_cells()).flat_map(|c| g.edges_of(c)).map(|e| e.1).sum::<f64>());
    let t = Instant::now();
    let l = leiden(&g, 1.0, 0).unwrap();
    println!("leiden {:?} {} {}", t.elapsed(), l.iter().max().unwrap() + 1, g.modularity(&l, 1.0));
    let c = Communities::new(&g).unwrap();
    let t = Instant::now();
    for s in c.by_number(2..=20, 0).unwrap() { match s { Scanned::Found(p) => print!("{}:{:.3} ", p.n_communities, p.resolution), Scanned::Unreached{n_communities} => print!("{n_communities}:- ") } }
    println!("scan {:?}", t.elapsed());
}
