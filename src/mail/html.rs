//! HTML of strangers: as text, for previews and rules, and made safe to show.
//!
//! Both begin with the same cutting into tags, which is linear whatever the shape. What is safe
//! is judged by ammonia, a sanitiser with a browser's parser; what it is given was bounded in
//! size, depth and number before, because a browser's parser is not linear.

mod character;
mod fold;
mod judge;
mod safe;
mod style;
mod text;
mod token;
mod visible;

pub use safe::{
    DEPTH_MAX, HTML_BYTES_MAX, Html, LINKS_MAX, Outgoing, SOURCE_BYTES_MAX, TAGS_MAX, clean,
    outgoing,
};
pub use text::to_text;

/// Appends text so that it stands for itself in HTML, also within a quoted value.
pub fn escape(text: &str, out: &mut String) {
    character::escape(text, out);
}
