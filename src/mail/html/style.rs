//! The `style` attribute: what may stay of it.

/// Longest attribute that is looked at, in bytes. Programs repeat a dozen properties.
const STYLE_BYTES_MAX: usize = 4 << 10;

/// Longest value that is kept, in bytes: a list of fonts.
const VALUE_BYTES_MAX: usize = 200;

/// Properties that change how text looks in its place. None lifts an element out of its place,
/// fetches anything or covers the page around the letter. Those that end in `-` stand for all that
/// begin so.
const PROPERTIES: [&str; 26] = [
    "background-color",
    "border",
    "border-",
    "clear",
    "color",
    "direction",
    "display",
    "float",
    "font",
    "font-",
    "height",
    "letter-spacing",
    "line-height",
    "list-style-type",
    "margin",
    "margin-",
    "max-width",
    "min-width",
    "padding",
    "padding-",
    "text-",
    "vertical-align",
    "white-space",
    "width",
    "word-break",
    "word-wrap",
];

/// The declarations that may stay.
///
/// A value with a parenthesis other than a colour's, a backslash or a comment is dropped: they
/// hide `url(…)` and `expression(…)`. So is a negative margin, which moves text over its
/// neighbours.
pub(super) fn filter(style: &str) -> String {
    let mut out = String::new();
    if style.len() > STYLE_BYTES_MAX {
        return out;
    }
    for declaration in style.split(';') {
        let Some((name, value)) = declaration.split_once(':') else {
            continue;
        };
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if allowed(&name) && harmless(&name, value) {
            if !out.is_empty() {
                out.push(';');
            }
            out.push_str(&name);
            out.push(':');
            out.push_str(value);
        }
    }
    out
}

/// Whether a style would fetch something, as a background picture does.
pub(super) fn fetches(style: &str) -> bool {
    style.len() <= STYLE_BYTES_MAX && style.to_ascii_lowercase().contains("url(")
}

fn allowed(name: &str) -> bool {
    PROPERTIES.iter().any(|property| {
        name == *property || (property.ends_with('-') && name.starts_with(property))
    }) && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
        && name != "border-image"
        && !name.starts_with("border-image-")
}

fn harmless(name: &str, value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let bare = match lower.strip_suffix(')') {
        Some(inner) => inner
            .strip_prefix("rgb(")
            .or_else(|| inner.strip_prefix("rgba("))
            .unwrap_or(&lower),
        None => &lower,
    };
    let plain = |c: char| {
        c.is_alphanumeric() || matches!(c, ' ' | '-' | '.' | ',' | '#' | '%' | '"' | '\'' | '!')
    };
    !value.is_empty()
        && value.len() <= VALUE_BYTES_MAX
        && bare.chars().all(plain)
        && !(name.starts_with("margin") && bare.contains('-'))
        && !(name == "text-indent" && bare.contains('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays() {
        for (style, kept) in [
            ("color: red; FONT-SIZE:12pt", "color:red;font-size:12pt"),
            ("color:rgb(1, 2, 3)", "color:rgb(1, 2, 3)"),
            (
                "font-family:\"Segoe UI\", 'Arial'",
                "font-family:\"Segoe UI\", 'Arial'",
            ),
            ("margin:0 0 0 .8ex", "margin:0 0 0 .8ex"),
            ("margin-left:-500px;padding:1px", "padding:1px"),
            ("position:fixed;top:0;z-index:9", ""),
            ("background:url(http://t.example/x)", ""),
            ("background-color:url(x)", ""),
            ("width:expression(alert(1))", ""),
            ("color:\\75rl(x)", ""),
            ("color:red/**/", ""),
            ("border-image:x", ""),
            ("border-left:1px solid #ccc", "border-left:1px solid #ccc"),
            ("@import 'x'", ""),
            ("behavior:x;-moz-binding:y", ""),
            ("color", ""),
            ("", ""),
        ] {
            assert_eq!(filter(style), kept, "{style}");
        }
        assert!(fetches("background: URL(x)"));
        assert_eq!(filter(&"color:red;".repeat(1000)), "");
    }
}
