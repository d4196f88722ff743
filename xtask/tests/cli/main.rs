//! The program as its users run it.

mod bad_inputs;
mod calibrate;
mod contexts;
mod extract;
mod harness;
mod import;
mod inspect;
mod interruption;
mod main_job;
mod matrix_market;
mod networks;
mod scaling;
mod scgpt;
mod score;
mod shards;
