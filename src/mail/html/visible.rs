//! The tokens of HTML without the elements that are nothing to read: pictures drawn in tags,
//! embedded programs, lists of choices.

use std::collections::BTreeMap;

use super::token::{Tag, Token, Tokens};

/// Elements that are left out with all that is in them. Their content is markup to browsers, so
/// they may stand within themselves.
const LEFT_OUT: [&str; 10] = [
    "applet", "audio", "canvas", "datalist", "math", "object", "select", "svg", "template", "video",
];

/// Tokens outside of the left-out elements.
pub(super) struct Visible<'a> {
    tokens: Tokens<'a>,
    /// How many closing tags of a left-out element are still to come; counted when first needed.
    closings: BTreeMap<&'static str, usize>,
    /// The element that is being left out, and how often it is open within itself.
    inside: Option<(&'static str, usize)>,
}

impl<'a> Visible<'a> {
    pub(super) const fn of(html: &'a str) -> Self {
        Self {
            tokens: Tokens::of(html),
            closings: BTreeMap::new(),
            inside: None,
        }
    }

    /// Enters a left-out element. One that never ends is entered by nobody: the rest of the letter
    /// would be lost with it.
    fn enter(&mut self, name: &'static str, tag: Tag<'_>) {
        if tag.is_self_closing() {
            return;
        }
        let closings = self.closings.entry(name).or_insert_with(|| {
            let rest = self.tokens.clone();
            rest.filter(|token| matches!(token, Token::Close(n) if n.eq_ignore_ascii_case(name)))
                .count()
        });
        if *closings > 0 {
            self.inside = Some((name, 1));
        }
    }

    fn leave(&mut self, closed: &'static str) {
        if let Some(closings) = self.closings.get_mut(closed) {
            *closings = closings.saturating_sub(1);
        }
        if let Some((name, depth)) = &mut self.inside
            && *name == closed
        {
            *depth -= 1;
            if *depth == 0 {
                self.inside = None;
            }
        }
    }
}

fn left_out(name: &str) -> Option<&'static str> {
    let mut all = LEFT_OUT.into_iter();
    all.find(|known| name.eq_ignore_ascii_case(known))
}

impl<'a> Iterator for Visible<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let token = self.tokens.next()?;
            match token {
                Token::Open(tag) => match (left_out(tag.name), &mut self.inside) {
                    (Some(name), None) => self.enter(name, tag),
                    (Some(name), Some((inside, depth))) if name == *inside => *depth += 1,
                    (None, None) => return Some(token),
                    (_, Some(_)) => {}
                },
                Token::Close(name) => match left_out(name) {
                    Some(name) => self.leave(name),
                    None if self.inside.is_none() => return Some(token),
                    None => {}
                },
                Token::Text(_) if self.inside.is_none() => return Some(token),
                Token::Text(_) => {}
            }
        }
    }
}
