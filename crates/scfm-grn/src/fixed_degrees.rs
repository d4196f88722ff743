use ndarray::{Array2, ArrayView2};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

/// One step in this many is a trade between two rows, which costs as much as the rows are long; the others are cycles.
/// In sparse references with a few long rows, such as TRRUST, cycles mix far faster for the time that they take, in
/// dense ones trades do.
const TRADE_EVERY: u32 = 64;
/// One cycle in this many has more than two rows.
const LONG_EVERY: u32 = 4;

/// A bipartite network that is randomised while every row keeps its number of columns and every column its number of
/// rows.
///
/// A step is one of two moves, chosen without regard to the state:
///
/// - a curveball trade (Strona et al. 2014, doi:10.1038/ncomms5114): two rows put together the columns that only one
///   of them has and both may have, and deal them out again at random;
/// - a cycle: two rows or more, each of which hands one of its columns to the next. With forbidden pairs, such as a
///   gene and itself, exchanges between two rows do not reach every network: three genes that regulate each other in a
///   ring have no such exchange, but two orientations.
///
/// Most cycles have two rows, the others three, with probability ½ one more, and so on up to all of them. Two networks
/// of the same degrees differ by alternating cycles in each of which no row comes twice, so the chain reaches every
/// network, whatever is forbidden. Rows are drawn by their degrees, which never change; so both moves propose the way
/// back as often as the way there, the chain is reversible, and in the long run all networks are equally likely.
///
/// ```
/// use ndarray::array;
/// use rand::SeedableRng;
/// use scfm_grn::FixedDegrees;
///
/// let ring = array![[false, true, false], [false, false, true], [true, false, false]];
/// let allowed = array![[false, true, true], [true, false, true], [true, true, false]];
/// let mut network = FixedDegrees::new(ring.view(), allowed.view());
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// while network.to_matrix() == ring {
///     network.randomise(1, &mut rng);
/// }
/// assert_eq!(network.to_matrix(), ring.t());
/// ```
#[derive(Debug, Clone)]
pub struct FixedDegrees {
    /// The columns of all rows that have any, row after row, in no order within one.
    columns: Vec<u32>,
    /// The row of each of them, counted among the rows that have any.
    row_at: Vec<u32>,
    /// Where each such row begins in `columns`, and the end.
    starts: Vec<u32>,
    /// Which row of the matrix each of them is.
    row_of: Vec<u32>,
    /// Where a row may not receive a column: forbidden, or there already.
    blocked: Bits,
    shape: (usize, usize),
}

impl FixedDegrees {
    /// The network of the pairs that are `present` and `allowed`, `[row, column]`; no other pair ever becomes an edge.
    ///
    /// # Panics
    /// When the two shapes differ, or there are 2³² edges or columns.
    pub fn new(present: ArrayView2<'_, bool>, allowed: ArrayView2<'_, bool>) -> Self {
        assert_eq!(
            present.dim(),
            allowed.dim(),
            "one shape for edges and allowed pairs"
        );
        let (n_rows, n_columns) = present.dim();
        let mut network = Self {
            columns: Vec::new(),
            row_at: Vec::new(),
            starts: vec![0],
            row_of: Vec::new(),
            blocked: Bits::default(),
            shape: (n_rows, n_columns),
        };
        for row in 0..n_rows {
            let edges = (0..n_columns).filter(|&column| present[[row, column]] && allowed[[row, column]]);
            network.columns.extend(edges.map(|column| column as u32));
            let end = u32::try_from(network.columns.len()).expect("edges are counted in 32 bits");
            if Some(&end) != network.starts.last() {
                network.row_at.resize(end as usize, network.row_of.len() as u32);
                network.starts.push(end);
                network.row_of.push(row as u32);
            }
        }
        network.blocked = Bits::new(network.row_of.len(), n_columns);
        for (place, &row) in network.row_of.iter().enumerate() {
            for column in 0..n_columns {
                let pair = [row as usize, column];
                if present[pair] || !allowed[pair] {
                    network.blocked.insert(place, column as u32);
                }
            }
        }
        network
    }

    /// Number of rows that have a column, among which edges move.
    pub fn n_active_rows(&self) -> usize {
        self.row_of.len()
    }

    /// Number of edges, which never changes.
    pub fn n_edges(&self) -> usize {
        self.columns.len()
    }

    /// The edges as (row, column), rows in order.
    pub fn edges(&self) -> impl Iterator<Item = (usize, usize)> {
        let rows = self.row_at.iter().map(|&row| self.row_of[row as usize] as usize);
        rows.zip(self.columns.iter().map(|&column| column as usize))
    }

    /// The edges as a matrix, `[row, column]`.
    pub fn to_matrix(&self) -> Array2<bool> {
        let mut matrix = Array2::from_elem(self.shape, false);
        for edge in self.edges() {
            matrix[edge] = true;
        }
        matrix
    }

    /// Takes `steps` steps of the chain; a step may leave the network as it is.
    pub fn randomise(&mut self, steps: usize, rng: &mut impl Rng) {
        if self.n_active_rows() < 2 {
            return;
        }
        let mut room = Room::default();
        for _ in 0..steps {
            if rng.random_range(0..TRADE_EVERY) == 0 {
                self.trade(&mut room, rng);
            } else {
                self.cycle(&mut room.slots, rng);
            }
        }
    }

    /// Two rows deal out again what only one of them has and both may have.
    fn trade(&mut self, room: &mut Room, rng: &mut impl Rng) {
        let (a, b) = (self.any_row(rng), self.any_row(rng));
        if a == b {
            return;
        }
        room.slots.clear();
        room.columns.clear();
        for (row, other) in [(a, b), (b, a)] {
            for slot in self.starts[row]..self.starts[row + 1] {
                let column = self.columns[slot as usize];
                if !self.blocked.contains(other, column) {
                    room.slots.push(slot);
                    room.columns.push(column);
                }
            }
        }
        for (&slot, &column) in room.slots.iter().zip(&room.columns) {
            self.blocked.remove(self.row_at[slot as usize] as usize, column);
        }
        room.columns.shuffle(rng);
        for (&slot, &column) in room.slots.iter().zip(&room.columns) {
            self.columns[slot as usize] = column;
            self.blocked.insert(self.row_at[slot as usize] as usize, column);
        }
    }

    /// Several rows, each hands one of its columns to the next; nothing happens where one may not take it.
    fn cycle(&mut self, slots: &mut Vec<u32>, rng: &mut impl Rng) {
        slots.clear();
        let more = if rng.random_range(0..LONG_EVERY) == 0 {
            3
        } else {
            2
        };
        loop {
            let slot = self.any_slot(rng);
            let row = self.row_at[slot as usize];
            if slots.iter().any(|&other| self.row_at[other as usize] == row) {
                return;
            }
            slots.push(slot);
            let n = slots.len();
            if n == self.n_active_rows() || n == 2 && more == 2 || n >= 3 && rng.random() {
                break;
            }
        }
        let row = |slot: u32| self.row_at[slot as usize] as usize;
        let (first, columns) = (self.columns[slots[0] as usize], &mut self.columns);
        let n = slots.len();
        let received = |i: usize, columns: &[u32]| match slots.get(i + 1) {
            Some(&next) => columns[next as usize],
            None => first,
        };
        if (0..n).any(|i| self.blocked.contains(row(slots[i]), received(i, columns))) {
            return;
        }
        for i in 0..n {
            let column = received(i, columns);
            self.blocked.remove(row(slots[i]), columns[slots[i] as usize]);
            self.blocked.insert(row(slots[i]), column);
            columns[slots[i] as usize] = column;
        }
    }

    /// A row, by its degree.
    fn any_row(&self, rng: &mut impl Rng) -> usize {
        self.row_at[self.any_slot(rng) as usize] as usize
    }

    fn any_slot(&self, rng: &mut impl Rng) -> u32 {
        rng.random_range(0..self.columns.len() as u32)
    }
}

/// Space that steps use again.
#[derive(Default)]
struct Room {
    slots: Vec<u32>,
    columns: Vec<u32>,
}

/// A set of (row, column) pairs, one bit each.
#[derive(Debug, Clone, Default)]
struct Bits {
    words: Vec<u64>,
    words_per_row: usize,
}

impl Bits {
    fn new(n_rows: usize, n_columns: usize) -> Self {
        let words_per_row = n_columns.div_ceil(64);
        Self {
            words: vec![0; n_rows * words_per_row],
            words_per_row,
        }
    }

    fn contains(&self, row: usize, column: u32) -> bool {
        self.words[self.word(row, column)] >> (column % 64) & 1 == 1
    }

    fn insert(&mut self, row: usize, column: u32) {
        let word = self.word(row, column);
        self.words[word] |= 1 << (column % 64);
    }

    fn remove(&mut self, row: usize, column: u32) {
        let word = self.word(row, column);
        self.words[word] &= !(1 << (column % 64));
    }

    fn word(&self, row: usize, column: u32) -> usize {
        row * self.words_per_row + column as usize / 64
    }
}
