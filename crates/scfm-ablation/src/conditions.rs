use rand::RngExt;
use rand::seq::SliceRandom;
use scfm_attention::Interventions;
use scfm_core::{Layer, Seeds};

use crate::halves::HALVES;
use crate::{Dose, Error, HeadId, HeadScore, RankedBy, doses, match_entropy, rank_heads};

/// What is done to the parts of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Heads pass nothing on.
    Silence,
    /// Heads attend to all tokens alike.
    Uniform,
    /// Feed-forward steps are left out.
    LeaveOut,
}

/// One way of altering the model: the unit of what is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The test that it is for, `top-10`; several conditions of different halves or draws share it.
    pub series: String,
    /// The half that it judges, where its heads were ranked on the other one.
    pub half: Option<usize>,
    /// Which of the random draws, where its heads are random.
    pub draw: Option<usize>,
    /// What is done.
    pub action: Action,
    /// To which heads, in their order.
    pub heads: Vec<HeadId>,
    /// Or to the feed-forward steps of which layers.
    pub layers: Vec<Layer>,
    /// Whether attention is extracted again; of further random draws the masked genes alone are read.
    pub edges: bool,
}

impl Condition {
    fn of_heads(series: impl Into<String>, action: Action, heads: &[HeadId]) -> Self {
        Self {
            series: series.into(),
            half: None,
            draw: None,
            action,
            heads: heads.to_vec(),
            layers: Vec::new(),
            edges: true,
        }
    }

    fn of_layers(series: impl Into<String>, layers: Vec<Layer>) -> Self {
        Self {
            action: Action::LeaveOut,
            layers,
            ..Self::of_heads(series, Action::LeaveOut, &[])
        }
    }

    /// Its own name, which no other condition has: `top-10-half-1`, `random-20-draw-3`, `full-layer`.
    pub fn name(&self) -> String {
        let mut name = self.series.clone();
        if let Some(half) = self.half {
            name += &format!("-half-{}", half + 1);
        }
        if let Some(draw) = self.draw {
            name += &format!("-draw-{}", draw + 1);
        }
        name
    }

    /// What the model is told.
    pub fn interventions(&self) -> Interventions {
        let done = self
            .layers
            .iter()
            .fold(Interventions::none(), |done, &layer| done.scale_mlp(layer, 0.0));
        self.heads.iter().fold(done, |done, at| match self.action {
            Action::Uniform => done.uniform_attention(at.layer, at.head),
            _ => done.scale_head(at.layer, at.head, 0.0),
        })
    }

    /// Numbers of its parts that the attention of `layer` can feel, and of all.
    pub fn reach(&self, layer: Layer) -> (usize, usize) {
        let heads = self.heads.iter().map(|head| head.layer);
        let layers: Vec<Layer> = heads.chain(self.layers.iter().copied()).collect();
        (layers.iter().filter(|&&at| at < layer).count(), layers.len())
    }

    /// The same, refused where nothing of it can reach the layer: its attention would be the intact model's, and a null true
    /// by construction.
    ///
    /// # Errors
    /// [`Error::OutOfReach`].
    pub fn reaching(&self, layer: Layer) -> Result<&Self, Error> {
        if self.interventions().reaches(layer) {
            Ok(self)
        } else {
            Err(Error::OutOfReach {
                condition: self.name(),
                layer: layer.0,
            })
        }
    }
}

/// Everything that is done to a model, and what is left out for a reason.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditions {
    /// All conditions, in the order of the plan.
    pub all: Vec<Condition>,
    /// Series without conditions, with the reason.
    pub left_out: Vec<(String, String)>,
    /// The doses in heads of this model.
    pub doses: [Dose; 4],
}

/// How conditions are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConditionParams {
    /// Layers and heads of each.
    pub shape: (usize, usize),
    /// The layer whose attention is scored.
    pub layer: Layer,
    /// Random sets of each dose whose masked genes are read.
    pub n_draws: usize,
}

impl Conditions {
    /// The conditions of a model whose heads have these scores. Random sets are nested: a draw is an order of all heads, and
    /// a dose its beginning. They are drawn from all heads, as a ranking without information would be.
    ///
    /// Random numbers come from streams of `analysis`.
    ///
    /// # Errors
    /// [`Error::Heads`] unless every head of the model has a score.
    pub fn plan(
        scores: &[HeadScore],
        params: &ConditionParams,
        seeds: Seeds,
        analysis: &str,
    ) -> Result<Self, Error> {
        let all_heads: Vec<HeadId> = HeadId::all(params.shape).collect();
        if scores.len() != all_heads.len() {
            return Err(Error::Heads {
                found: scores.len(),
                expected: all_heads.len(),
            });
        }
        let doses = doses(all_heads.len());
        let mut plan = Self {
            all: Vec::new(),
            left_out: Vec::new(),
            doses,
        };
        plan.ranked(scores);
        let draws: Vec<Vec<HeadId>> = (0..params.n_draws.max(3) as u64)
            .map(|draw| {
                let mut order = all_heads.clone();
                order.shuffle(&mut seeds.stream(analysis, "random heads", draw));
                order
            })
            .collect();
        plan.random(&draws);

        let (n_layers, n_heads) = params.shape;
        let scored = params.layer;
        // The layer that the scored one reads from; the published choice, one above it, could not be seen there.
        let below = Layer(scored.0.saturating_sub(1));
        let of_below: Vec<HeadId> = all_heads
            .iter()
            .filter(|head| head.layer == below)
            .copied()
            .collect();
        debug_assert_eq!(of_below.len(), n_heads);
        plan.all
            .push(Condition::of_heads("full-layer", Action::Silence, &of_below));
        let uniform = &draws[0][..doses[1].heads];
        plan.all
            .push(Condition::of_heads("uniform-random-10", Action::Uniform, uniform));
        let band: Vec<Layer> = (scored.0.saturating_sub(2)..=scored.0).map(Layer).collect();
        let mut stream = seeds.stream(analysis, "random layer", 0);
        let others: Vec<usize> = (0..n_layers).filter(|&layer| layer != scored.0).collect();
        plan.all
            .push(Condition::of_layers("mlp-selected-layer", vec![scored]));
        plan.all.push(Condition::of_layers("mlp-band", band));
        if others.is_empty() {
            plan.leave_out("mlp-random-layer", "the model has one layer");
        } else {
            let random = Layer(others[stream.random_range(0..others.len())]);
            plan.all
                .push(Condition::of_layers("mlp-random-layer", vec![random]));
        }
        Ok(plan)
    }

    /// The most conditions that a model of so many heads has: of which attention is extracted, and all.
    pub fn at_most(n_heads: usize, n_draws: usize) -> (usize, usize) {
        let distinct = doses(n_heads)
            .windows(2)
            .filter(|pair| pair[0].heads < pair[1].heads)
            .count()
            + 1;
        // Ranked series and the matched one, for each half; a full layer, uniform random heads, three of feed-forward steps.
        let (ranked, others) = (2 * (distinct + 8), 5);
        let draws = n_draws.max(3);
        (ranked + others + distinct + 2, ranked + others + distinct * draws)
    }

    /// The conditions of a series.
    pub fn of_series<'a>(&'a self, series: &str) -> impl Iterator<Item = &'a Condition> + use<'a> {
        let series = series.to_owned();
        self.all
            .iter()
            .filter(move |condition| condition.series == series)
    }

    fn leave_out(&mut self, series: impl Into<String>, reason: impl Into<String>) {
        self.left_out.push((series.into(), reason.into()));
    }

    /// Why a dose is no dose of its own.
    fn same_as_before(&self, dose: usize) -> Option<String> {
        let (this, before) = (self.doses[dose], self.doses[dose.checked_sub(1)?]);
        (this.heads == before.heads).then(|| {
            format!(
                "of this model's heads it would be {} as for the dose of {}",
                this.heads, before.name
            )
        })
    }

    fn ranked(&mut self, scores: &[HeadScore]) {
        for (prefix, by, uniform, n_doses) in [
            ("best-perturbation", RankedBy::Perturbation, false, 1),
            ("top", RankedBy::Reference, false, 4),
            ("bottom", RankedBy::Reference, false, 2),
            ("composite", RankedBy::Composite, false, 2),
            ("uniform-top", RankedBy::Reference, true, 2),
        ] {
            for dose in 0..n_doses {
                let Dose { name, heads: n } = self.doses[dose];
                let series = format!("{prefix}-{name}");
                if let Some(reason) = self.same_as_before(dose) {
                    self.leave_out(series, reason);
                    continue;
                }
                for half in HALVES {
                    let Some(mut ranked) = rank_heads(scores, half, by) else {
                        self.leave_out(
                            series.clone(),
                            "no source of the other half has both classes among its targets to rank heads by",
                        );
                        continue;
                    };
                    if prefix == "bottom" {
                        ranked.reverse();
                    }
                    let action = if uniform { Action::Uniform } else { Action::Silence };
                    let condition = Condition::of_heads(&series, action, &ranked[..n]);
                    self.all.push(Condition {
                        half: Some(half),
                        ..condition
                    });
                    if prefix == "best-perturbation" {
                        self.entropy_matched(&ranked[..n], scores, half);
                    }
                }
            }
        }
    }

    fn entropy_matched(&mut self, chosen: &[HeadId], scores: &[HeadScore], half: usize) {
        let series = "entropy-matched-5";
        match match_entropy(chosen, scores) {
            Some(matched) => self.all.push(Condition {
                half: Some(half),
                ..Condition::of_heads(series, Action::Silence, &matched)
            }),
            None => self.leave_out(series, "too few heads with an entropy to choose from"),
        }
    }

    fn random(&mut self, draws: &[Vec<HeadId>]) {
        for dose in 0..self.doses.len() {
            let Dose { name, heads: n } = self.doses[dose];
            let series = format!("random-{name}");
            if let Some(reason) = self.same_as_before(dose) {
                self.leave_out(series, reason);
                continue;
            }
            // Three draws of the smallest dose are tests of their own.
            let with_edges = if dose == 0 { 3 } else { 1 };
            for (draw, order) in draws.iter().enumerate() {
                self.all.push(Condition {
                    draw: Some(draw),
                    edges: draw < with_edges,
                    ..Condition::of_heads(&series, Action::Silence, &order[..n])
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HalfScore;
    use std::collections::BTreeSet;

    fn scores(shape: (usize, usize), with_reference: bool) -> Vec<HeadScore> {
        HeadId::all(shape)
            .enumerate()
            .map(|(i, head)| {
                let half = |shift: usize| HalfScore {
                    reference: with_reference.then_some(((i + shift) * 7 % 31) as f64),
                    perturbation: Some(((i + shift) * 11 % 31) as f64),
                    held_out: None,
                };
                HeadScore {
                    head,
                    auroc: Some(0.5),
                    entropy: Some((i * 5 % 13) as f64),
                    halves: [half(0), half(3)],
                }
            })
            .collect()
    }

    fn plan(shape: (usize, usize), layer: usize, with_reference: bool) -> Conditions {
        let params = ConditionParams {
            shape,
            layer: Layer(layer),
            n_draws: 6,
        };
        Conditions::plan(&scores(shape, with_reference), &params, Seeds::new(0), "test").unwrap()
    }

    #[test]
    fn every_condition_has_a_name_of_its_own_and_the_dose_that_it_says() {
        let plan = plan((6, 5), 4, true);
        let with_edges = plan.all.iter().filter(|condition| condition.edges).count();
        assert_eq!((with_edges, plan.all.len()), Conditions::at_most(30, 6));
        let names: BTreeSet<String> = plan.all.iter().map(Condition::name).collect();
        assert_eq!(names.len(), plan.all.len());
        assert!(plan.left_out.is_empty(), "{:?}", plan.left_out);
        for dose in plan.doses {
            let sets: Vec<_> = plan.of_series(&format!("top-{}", dose.name)).collect();
            assert_eq!(sets.len(), 2);
            assert!(sets.iter().all(|set| set.heads.len() == dose.heads));
            let random: Vec<_> = plan.of_series(&format!("random-{}", dose.name)).collect();
            assert_eq!(random.len(), 6);
            assert!(random.iter().all(|set| set.heads.len() == dose.heads));
        }
        let nested = |small: &str, large: &str, draw: usize| {
            let of = |series: &str| {
                let found = plan
                    .all
                    .iter()
                    .find(|c| c.series == series && c.draw == Some(draw));
                found.unwrap().heads.clone()
            };
            of(large).starts_with(&of(small))
        };
        assert!((0..6).all(|draw| nested("random-5", "random-50", draw)));
        let uniform = plan.of_series("uniform-random-10").next().unwrap();
        let silenced = plan.of_series("random-10").next().unwrap();
        assert_eq!(uniform.heads, silenced.heads);
    }

    #[test]
    fn reach_is_counted_and_what_cannot_be_seen_is_refused() {
        let plan = plan((6, 5), 4, true);
        let layer = Layer(4);
        let of = |series: &str| plan.of_series(series).next().unwrap();
        assert_eq!(of("full-layer").reach(layer), (5, 5));
        assert_eq!(of("mlp-band").reach(layer), (2, 3));
        assert_eq!(of("mlp-selected-layer").reach(layer), (0, 1));
        assert!(matches!(
            of("mlp-selected-layer").reaching(layer),
            Err(Error::OutOfReach { layer: 4, .. })
        ));
        for condition in &plan.all {
            let (n, _) = condition.reach(layer);
            assert_eq!(
                condition.interventions().reaches(layer),
                n > 0,
                "{}",
                condition.name()
            );
            assert_eq!(condition.reaching(layer).is_ok(), n > 0);
        }
        // Nothing lies below the first layer.
        assert_eq!(
            plan_of_first_layer()
                .of_series("full-layer")
                .next()
                .unwrap()
                .reach(Layer(0))
                .0,
            0
        );
    }

    fn plan_of_first_layer() -> Conditions {
        plan((6, 5), 0, true)
    }

    #[test]
    fn doses_that_coincide_and_rankings_that_lack_a_reference_are_left_out_with_a_reason() {
        let tiny = plan((2, 2), 1, true);
        let reasons: Vec<&str> = tiny.left_out.iter().map(|(series, _)| series.as_str()).collect();
        for series in ["top-20", "top-50", "random-20", "random-50"] {
            assert!(reasons.contains(&series), "{reasons:?}");
        }
        let unreferenced = plan((6, 5), 4, false);
        assert!(unreferenced.of_series("top-5").next().is_none());
        assert!(unreferenced.of_series("best-perturbation-5").next().is_some());
        assert!(unreferenced.of_series("random-5").next().is_some());
        let (_, reason) = unreferenced
            .left_out
            .iter()
            .find(|(s, _)| s == "composite-5")
            .unwrap();
        assert!(reason.contains("rank heads by"), "{reason}");
        let wrong = Conditions::plan(
            &scores((2, 2), true),
            &ConditionParams {
                shape: (6, 5),
                layer: Layer(4),
                n_draws: 3,
            },
            Seeds::new(0),
            "test",
        );
        assert!(matches!(
            wrong,
            Err(Error::Heads {
                found: 4,
                expected: 30
            })
        ));
    }
}
