//! Kind-length-value lists, as IPv4 (RFC 791 section 3.1) and TCP (RFC 9293 section 3.2) both have them.
//!
//! ```text
//!  ┌ 1 ┬ 1 ┬ kind │ length │ value … ┬ kind │ length │ value … ┬ 0 ┬ padding
//!   NOP NOP └──────── length bytes ──┘                           end
//! ```
//!
//! There is one [`Walker`] for all of them: the check that `parse` makes and the accessors of
//! [`super::Options`] cannot disagree about where an option begins. It moves at least one byte with
//! each step, so it ends.

/// The end of the list; what follows is padding.
const END: u8 = 0;
/// One byte of padding between options.
const NO_OPERATION: u8 = 1;

/// One option: its kind, and its value without kind and length.
pub(super) type Entry<'a> = (u8, &'a [u8]);

/// Why a list ends before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Break {
    /// A length below two: it does not even cover kind and length, and a zero would loop.
    TooShort,
    /// The option needs this many bytes (at least one) more than there are.
    Lacks(usize),
}

/// Walks a list from its first byte; stops for good at the end of the list or at a [`Break`].
pub(super) struct Walker<'a> {
    rest: &'a [u8],
}

impl<'a> Walker<'a> {
    pub(super) fn new(list: &'a [u8]) -> Walker<'a> {
        Walker { rest: list }
    }

    /// Ends the walk with a reason.
    fn stop(&mut self, reason: Break) -> Option<Result<Entry<'a>, Break>> {
        self.rest = &[];
        Some(Err(reason))
    }
}

impl<'a> Iterator for Walker<'a> {
    type Item = Result<Entry<'a>, Break>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((&kind, behind)) = self.rest.split_first() {
            match kind {
                END => break,
                NO_OPERATION => self.rest = behind,
                _ => {
                    let Some(&length) = behind.first() else { return self.stop(Break::Lacks(1)) };
                    let length = usize::from(length);
                    if length < 2 {
                        return self.stop(Break::TooShort);
                    }
                    let Some(value) = self.rest.get(2..length) else {
                        return self.stop(Break::Lacks(length - self.rest.len()));
                    };
                    self.rest = &self.rest[length..];
                    return Some(Ok((kind, value)));
                }
            }
        }
        self.rest = &[];
        None
    }
}

/// Whether a list is well-formed of which `missing` bytes were not captured: every option that can be
/// seen has a length of at least two and ends inside the list.
#[inline(never)]
pub(super) fn are_well_formed(captured: &[u8], missing: usize) -> bool {
    Walker::new(captured).all(|step| match step {
        Ok(_) => true,
        Err(Break::TooShort) => false,
        Err(Break::Lacks(bytes)) => bytes <= missing,
    })
}

/// Where the first option of a list begins that is cut or has an impossible length.
pub(super) fn first_broken(list: &[u8]) -> Option<usize> {
    let mut walker = Walker::new(list);
    let mut rest = list;
    while let Some(step) = walker.next() {
        if step.is_err() {
            let padding = rest.iter().take_while(|&&kind| kind == NO_OPERATION).count();
            return Some(list.len() - rest.len() + padding);
        }
        rest = walker.rest;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(list: &[u8]) -> Vec<Result<Entry<'_>, Break>> {
        Walker::new(list).collect()
    }

    #[test]
    fn options_are_found_between_padding_and_nothing_behind_the_end() {
        let list = [1, 2, 4, 5, 180, 1, 1, 4, 2, 0, 3, 3, 7];
        assert_eq!(walk(&list), [Ok((2, &[5, 180][..])), Ok((4, &[][..]))]);
    }

    #[test]
    fn a_length_below_two_stops_the_walk() {
        assert_eq!(walk(&[7, 0, 1, 1]), [Err(Break::TooShort)]);
        assert_eq!(walk(&[7, 1, 1, 1]), [Err(Break::TooShort)]);
    }

    #[test]
    fn an_option_past_the_end_says_how_much_it_lacks() {
        assert_eq!(walk(&[8, 10, 0, 0]), [Err(Break::Lacks(6))]);
        assert_eq!(walk(&[1, 1, 8]), [Err(Break::Lacks(1))]);
    }

    #[test]
    fn what_a_snap_length_cut_is_not_held_against_an_option() {
        assert!(are_well_formed(&[8, 10, 0, 0], 6), "the option ends where the list does");
        assert!(!are_well_formed(&[8, 10, 0, 0], 5), "it reaches past the list, captured or not");
        assert!(are_well_formed(&[1, 1, 8], 1));
        assert!(!are_well_formed(&[8, 1], 38), "a length below two is wrong however long the list");
    }
}
