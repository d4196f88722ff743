use super::*;
use crate::{Family, WorldParams};

fn world() -> World {
    let family = Family {
        name: "fixtures".to_owned(),
        shared_regulons: 0.5,
        abundance_correlation: 0.7,
    };
    let params = WorldParams {
        family: Some(family),
        ..WorldParams::new("relations")
    };
    World::new(params, Seeds::new(5)).unwrap()
}

#[test]
fn interactions_are_distinct_and_mostly_relate_something() {
    let world = world();
    let found = world
        .interactions(&InteractionParams::default(), Seeds::new(5))
        .unwrap();
    assert_eq!(
        found,
        world
            .interactions(&InteractionParams::default(), Seeds::new(5))
            .unwrap()
    );
    assert_ne!(
        found,
        world
            .interactions(&InteractionParams::default(), Seeds::new(6))
            .unwrap()
    );
    let at = |gene: &GeneId| world.genes().position(gene.as_str()).unwrap();
    let pairs: BTreeSet<(usize, usize)> = found.iter().map(|i| (at(&i.first), at(&i.second))).collect();
    assert_eq!(pairs.len(), found.len());
    assert!(pairs.iter().all(|(a, b)| a < b));
    assert!(found.iter().all(|i| (400..1000).contains(&i.score)));
    let true_edges: BTreeSet<_> = world
        .network()
        .edges()
        .iter()
        .map(|e| ordered(e.source.0, e.target.0))
        .collect();
    let n_edges = true_edges.intersection(&pairs).count();
    let expected = 0.5 * true_edges.len() as f64;
    assert!(
        (n_edges as f64 - expected).abs() < 5.0 * (0.5 * expected).sqrt() + 10.0,
        "{n_edges} {expected}"
    );
    // At the higher threshold regulation weighs more.
    let share = |least: u32| {
        let listed = found.iter().filter(|i| i.score >= least);
        let of_edges = listed
            .clone()
            .filter(|i| true_edges.contains(&(at(&i.first), at(&i.second))));
        of_edges.count() as f64 / listed.count() as f64
    };
    assert!(share(700) > share(400));
    assert_eq!(found[0].to_string().split(',').count(), 3);
}

#[test]
fn sets_are_parts_of_what_they_are_drawn_from() {
    let world = world();
    let params = GeneSetParams {
        n_sets: 40,
        size: (5, 20),
        programmes: 1.0,
        regulons: 0.0,
        wrong: 0.0,
    };
    let pools = world.programme_pools();
    for set in world.gene_sets("pathway", &params, Seeds::new(5)).unwrap() {
        let members: Vec<usize> = set
            .genes
            .iter()
            .map(|g| world.genes().position(g.as_str()).unwrap())
            .collect();
        assert!(members.is_sorted() && (5..=20).contains(&members.len()), "{set}");
        assert!(
            pools.iter().any(|pool| members.iter().all(|m| pool.contains(m))),
            "{set}"
        );
        assert_eq!(set.to_string().split('\t').count(), 2 + members.len());
    }
    let bad = GeneSetParams {
        size: (9, 2),
        ..params
    };
    assert!(world.gene_sets("pathway", &bad, Seeds::new(5)).is_err());
}

#[test]
fn better_levels_are_truer() {
    let world = world();
    let rows = world.regulons(&RegulonParams::default(), Seeds::new(5)).unwrap();
    let edges: BTreeSet<_> = world
        .network()
        .edges()
        .iter()
        .map(|e| {
            (
                world.genes().gene(e.source.0).clone(),
                world.genes().gene(e.target.0).clone(),
            )
        })
        .collect();
    let truth = |level: char| {
        let of = rows.iter().filter(|row| row.level == level);
        let hits = of
            .clone()
            .filter(|row| edges.contains(&(row.tf.clone(), row.target.clone())));
        hits.count() as f64 / of.count() as f64
    };
    assert!(
        truth('A') > 0.85 && truth('D') < 0.55,
        "{} {}",
        truth('A'),
        truth('D')
    );
    assert!(rows[0].to_string().starts_with("SIMTF"));
}

#[test]
fn every_class_has_factors_and_some_factors_have_none() {
    let world = world();
    let classes = world.tf_classes(Seeds::new(5));
    let named: BTreeSet<_> = classes.iter().map(|(_, class)| *class).collect();
    assert_eq!(named.len(), 4);
    assert!(classes.len() < world.tfs().len() && classes.len() > world.tfs().len() / 2);
}
