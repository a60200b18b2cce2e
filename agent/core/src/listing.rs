//! A list that may be long, in one line of a message.

/// The first `shown` entries joined by `between`, and how many there are besides:
/// `a, b and 3 more`, `a; b; and 3 more`.
pub fn shortened<T: ToString>(
    items: impl IntoIterator<Item = T>,
    shown: usize,
    between: &str,
) -> String {
    let all: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    let (first, rest) = all.split_at(all.len().min(shown));
    let text = first.join(between);
    let before_last = if between == ", " { " " } else { between };
    match rest.len() {
        0 => text,
        more => format!("{text}{before_last}and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_counted() {
        let items = ["a", "b", "c"];
        assert_eq!(shortened(items, 3, ", "), "a, b, c");
        assert_eq!(shortened(items, 2, ", "), "a, b and 1 more");
        assert_eq!(shortened(items, 1, "; "), "a; and 2 more");
        assert_eq!(shortened(items, 1, "\n"), "a\nand 2 more");
        assert_eq!(shortened([""; 0], 1, ", "), "");
    }
}
