//! What the weights are called in files of different origin.

/// Parts whose weights attention depends on.
const READ: [&str; 6] = [
    "encoder.",
    "value_encoder.",
    "transformer_encoder.",
    "bn.",
    "dsbn.",
    "decoder.fc.",
];
/// A count of training batches, which nothing is computed from.
const COUNTER: &str = "num_batches_tracked";

/// What a tensor of a file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A weight, under the name that it has in the released checkpoints.
    Weight(String),
    /// Something that attention does not depend on.
    Ignored,
    /// Something that attention depends on and that is not computed here.
    Refused,
}

/// What [`Role::Refused`] means.
pub(super) const REFUSED: &str = "scGPT fine-tuned to predict perturbations adds flags of perturbation to its input, \
                                  and its values are no bins";

/// The role of a tensor by its name. The projections of attention go by three names: `self_attn.Wqkv` (flash-attn 1, all
/// released files), `self_attn.in_proj_*` (torch's own) and `self_attn._impl.*` (a wrapper of both, from 2026 on); their
/// rows are the same: queries, keys, values. Models that were trained in parallel prefix every name with `module.`.
pub(super) fn role(name: &str) -> Role {
    let name = name.strip_prefix("module.").unwrap_or(name);
    if name.starts_with("pert_encoder.") {
        return Role::Refused;
    }
    if !READ.iter().any(|part| name.starts_with(part)) || name.ends_with(COUNTER) {
        return Role::Ignored;
    }
    Role::Weight(
        name.replace(".self_attn._impl.", ".self_attn.")
            .replace(".self_attn.in_proj_", ".self_attn.Wqkv."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_spellings_of_attention_are_one() {
        let layer = "transformer_encoder.layers.3.self_attn";
        let is = |name: String, expected: String| assert_eq!(role(&name), Role::Weight(expected));
        for part in ["weight", "bias"] {
            for stem in ["Wqkv.", "in_proj_", "_impl.Wqkv."] {
                is(format!("{layer}.{stem}{part}"), format!("{layer}.Wqkv.{part}"));
                is(
                    format!("module.{layer}.{stem}{part}"),
                    format!("{layer}.Wqkv.{part}"),
                );
            }
            for stem in ["out_proj.", "_impl.out_proj."] {
                is(
                    format!("{layer}.{stem}{part}"),
                    format!("{layer}.out_proj.{part}"),
                );
            }
        }
    }

    #[test]
    fn what_attention_does_not_depend_on_is_told_apart() {
        for name in [
            "flag_encoder.weight",
            "cls_decoder._decoder.0.weight",
            "mvc_decoder.W.weight",
            "batch_encoder.embedding.weight",
            "decoder.zero_logit.0.weight",
            "bn.num_batches_tracked",
        ] {
            assert_eq!(role(name), Role::Ignored, "{name}");
        }
        assert_eq!(role("module.pert_encoder.weight"), Role::Refused);
        for name in [
            "encoder.enc_norm.bias",
            "bn.running_var",
            "dsbn.bns.2.running_mean",
        ] {
            assert_eq!(role(name), Role::Weight(name.to_owned()));
        }
    }
}
