//! Inputs from a corpus, changed at random but repeatably: the same seed gives the same inputs.

/// Longest input that is made, in bytes: beyond every limit on a name or a pattern.
pub const MAX_INPUT_BYTES: usize = 64 << 10;
/// Most changes of one input.
const MAX_CHANGES: u64 = 6;
/// Most copies of a piece that are put beside it.
const MAX_COPIES: u64 = 4096;

/// Numbers that look random (SplitMix64 of Steele, Lea and Flood).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; zero when that is zero.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end as u64).max(1)).unwrap_or(0)
    }
}

/// Makes inputs of a corpus and words.
#[derive(Clone, Debug)]
pub struct Mutator<'a> {
    random: Random,
    corpus: &'a [Vec<u8>],
    words: &'a [&'a str],
}

impl<'a> Mutator<'a> {
    /// Without a corpus the words alone are put together.
    pub fn new(seed: u64, corpus: &'a [Vec<u8>], words: &'a [&'a str]) -> Self {
        Self {
            random: Random::new(seed),
            corpus,
            words,
        }
    }

    /// The next input.
    pub fn input(&mut self) -> Vec<u8> {
        let mut input = self.pick().to_vec();
        for _ in 0..=self.random.next() % MAX_CHANGES {
            self.change(&mut input);
            input.truncate(MAX_INPUT_BYTES);
        }
        input
    }

    fn pick(&mut self) -> &'a [u8] {
        let place = self.random.below(self.corpus.len());
        self.corpus.get(place).map_or(&[], Vec::as_slice)
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.random.below(input.len() + 1);
        let end = at + self.random.below((input.len() - at).min(64) + 1);
        match self.random.below(8) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.random.below(8);
                }
            }
            1 => drop(input.drain(at..end)),
            2 => {
                let byte = self.random.next() as u8;
                input.insert(at, byte);
            }
            // What costs more than it is long is found by repeating it.
            3 => {
                let piece = input[at..end].to_vec();
                let copies = self.random.next() % MAX_COPIES;
                let copies = copies >> self.random.below(12);
                let fits = MAX_INPUT_BYTES / piece.len().max(1);
                let copies = usize::try_from(copies).unwrap_or(0).min(fits);
                drop(input.splice(at..at, piece.repeat(copies)));
            }
            4 => {
                let other = self.pick();
                let from = self.random.below(other.len() + 1);
                let to = from + self.random.below(other.len() - from + 1);
                drop(input.splice(at..end, other[from..to].iter().copied()));
            }
            _ => {
                let place = self.random.below(self.words.len());
                if let Some(word) = self.words.get(place) {
                    let end = if self.random.below(2) == 0 { at } else { end };
                    drop(input.splice(at..end, word.bytes()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs_and_another_gives_others() {
        let corpus = [b"apps/*.yaml".to_vec(), b"**".to_vec()];
        let inputs = |seed: u64| {
            let mut mutator = Mutator::new(seed, &corpus, &["{", "}"]);
            (0..500).map(|_| mutator.input()).collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
        let longest = inputs(3).iter().map(Vec::len).max();
        assert!(longest > Some(1000) && longest <= Some(MAX_INPUT_BYTES));
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        let mut mutator = Mutator::new(1, &[], &[]);
        for _ in 0..1000 {
            assert!(mutator.input().len() <= MAX_INPUT_BYTES);
        }
    }
}
