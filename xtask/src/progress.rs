//! Progress on stderr: a bar with rate and time left on a terminal, plain lines elsewhere, nothing with `--quiet`.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Plain lines come this often on the way through a stage.
const LINES: u64 = 10;

/// How much a command says while it works.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    quiet: bool,
}

impl Progress {
    pub fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    /// One line about what happens next.
    pub fn say(self, line: impl AsRef<str>) {
        if !self.quiet {
            eprintln!("{}", line.as_ref());
        }
    }

    /// A bar over `n` items of a long stage.
    pub fn bar(self, what: &'static str, n: usize) -> Bar {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal && !self.quiet {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(n as u64), target);
        let style = "{prefix:>12} {wide_bar} {pos}/{len} · {per_sec} · {eta} left";
        bar.set_style(ProgressStyle::with_template(style).expect("the template is well formed"));
        bar.set_prefix(what);
        if terminal {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Bar {
            bar,
            what,
            lines: !terminal && !self.quiet,
            said: AtomicU64::new(0),
        }
    }
}

/// The progress of one stage; may be told of it by many threads.
pub struct Bar {
    bar: ProgressBar,
    what: &'static str,
    lines: bool,
    /// Tenths that have been told in plain lines.
    said: AtomicU64,
}

impl Bar {
    /// `done` of all items are done.
    pub fn set(&self, done: usize) {
        self.bar.set_position(done as u64);
        let all = self.bar.length().unwrap_or(1).max(1);
        let tenths = done as u64 * LINES / all;
        if self.lines && self.said.fetch_max(tenths, Ordering::Relaxed) < tenths {
            let left = HumanDuration(self.bar.eta());
            eprintln!(
                "{}: {done} of {all}, {:.1} a second, {left} left",
                self.what,
                self.bar.per_sec()
            );
        }
    }

    /// `more` items are done.
    pub fn add(&self, more: usize) {
        self.set(self.done() + more);
    }

    /// How many items are done.
    pub fn done(&self) -> usize {
        self.bar.position() as usize
    }

    /// Takes the bar off the screen.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}
