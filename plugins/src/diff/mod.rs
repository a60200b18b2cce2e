//! Git against live: what an answered Preview looks like on a terminal, to a script, and to
//! another program. Everything here is pure; asking and printing is `command::diff`'s.

pub mod change;
pub mod document;
pub mod external;
pub mod local;
pub mod screen;
pub mod sides;
pub mod value;
