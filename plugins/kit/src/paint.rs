//! What colors mean. Four only, so that they stay readable on any background.

#[cfg(feature = "terminal")]
use owo_colors::OwoColorize;

/// Meaning of a piece of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Ordinary.
    #[default]
    Plain,
    /// As it should be: green.
    Good,
    /// Not as it should be, or on its way: yellow.
    Warn,
    /// Failed: red.
    Bad,
    /// Less important.
    Dim,
    /// More important.
    Bold,
}

#[cfg(feature = "terminal")]
impl Style {
    /// The text in this style; unchanged without color.
    pub fn apply(self, text: &str, color: bool) -> String {
        if !color || text.is_empty() {
            return text.to_owned();
        }
        match self {
            Self::Plain => text.to_owned(),
            Self::Good => text.green().to_string(),
            Self::Warn => text.yellow().to_string(),
            Self::Bad => text.red().to_string(),
            Self::Dim => text.dimmed().to_string(),
            Self::Bold => text.bold().to_string(),
        }
    }

    /// The part of a styled text that matters; unchanged without color.
    pub fn emphasize(self, text: &str, color: bool) -> String {
        if !color || text.is_empty() {
            return text.to_owned();
        }
        self.apply(&text.reversed().to_string(), color)
    }
}
