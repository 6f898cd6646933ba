//! What is shown of HTML, what is not, and how much of it.

use super::*;

fn safe(html: &str) -> Html {
    clean(html, &mut |src| {
        (src == "cid:logo").then(|| "1.2".to_owned())
    })
}

#[test]
fn what_is_shown() {
    for (html, shown) in [
        ("plain & &lt;b&gt; <3", "plain &amp; &lt;b&gt; &lt;3"),
        ("<p>a<p>b", "<p>a</p><p>b</p>"),
        ("<b><i>a</b>b</i>", "<b><i>a</i></b>b"),
        ("<ul><li>a<li>b</ul>", "<ul><li>a</li><li>b</li></ul>"),
        (
            "<table><tr><td>a<td>b<tr><td>c</table>",
            "<table><tbody><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></tbody></table>",
        ),
        ("<div class=x id=y data-z=1>a</div>", "<div>a</div>"),
        (
            "<font color=red style='color:#f00;position:fixed'>a</font>",
            "<font color=\"red\" style=\"color:#f00\">a</font>",
        ),
        (
            "<a href='https://x.example/?a=1&amp;b=2' target=_top>x</a>",
            "<a href=\"https://x.example/?a=1&amp;b=2\" rel=\"noopener noreferrer nofollow\">x</a>",
        ),
        (
            "<IMG SRC=cid:logo ALT=Logo>",
            "<img src=\"attachment:1.2\" alt=\"Logo\">",
        ),
        ("<img src=cid:other alt=x>", "<img alt=\"x\">"),
        (
            "<img src='https://t.example/p.gif'>",
            "<img data-blocked-src=\"https://t.example/p.gif\">",
        ),
        (
            "<img src='data:image/png;base64,AAAA'>",
            "<img src=\"data:image/png;base64,AAAA\">",
        ),
        (
            "<blockquote>indented</blockquote>",
            "<blockquote>indented</blockquote>",
        ),
        (
            "new<blockquote type=cite>old</blockquote>",
            "new<blockquote data-fold=\"quote\">old</blockquote>",
        ),
        (
            "<div>new<hr id=appendonsend>From: x</div>end",
            "<div>new<div data-fold=\"quote\"><hr>From: x</div></div>end",
        ),
        (
            "<div>new<div><div style='border:none;border-top:solid #E1E1E1 1.0pt'>From:</div></div>old</div>end",
            "<div>new<div><div data-fold=\"quote\" style=\"border:none;border-top:solid #E1E1E1 1.0pt\">\
             From:</div></div><div data-fold=\"quote\">old</div></div>end",
        ),
        (
            "<div class='gmail_signature x'>Anna</div>",
            "<div data-fold=\"signature\">Anna</div>",
        ),
        ("<o:p>a</o:p><center>b</center>", "a<center>b</center>"),
    ] {
        assert_eq!(safe(html).text, shown, "{html}");
    }
}

/// Nothing that runs, fetches, or leaves its place, however it is written.
#[test]
fn what_is_not() {
    for html in [
        "<script>alert(1)</script>",
        "<SCRIPT SRC=//x.example/x></SCRIPT>",
        "<script>",
        "<img src=x onerror=alert(1)>",
        "<img/src=x/onerror=alert(1)>",
        "<body onload=alert(1)>",
        "<a href=javascript:alert(1)>x</a>",
        "<a href=' java\tscript:alert(1)'>x</a>",
        "<a href='jav&#x0A;ascript&colon;alert(1)'>x</a>",
        "<a href='&#1;javascript:alert(1)'>x</a>",
        "<a href='vbscript:x'>x</a>",
        "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
        "<a href='//evil.example'>x</a>",
        "<img src='data:image/svg+xml;base64,PHN2Zz4='>",
        "<img src='data:text/html;base64,PHN2Zz4='>",
        "<svg onload=alert(1)></svg>",
        "<svg><script>alert(1)</script></svg>",
        "<svg/onload=alert(1)>",
        "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
        "<svg></p><style><a id=\"</style><img src=1 onerror=alert(1)>\">",
        "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
        "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
        "<textarea><p title=\"</textarea><img src=x onerror=alert(1)>\">",
        "<title><p title=\"</title><img src=x onerror=alert(1)>\">",
        "<xmp><p title=\"</xmp><img src=x onerror=alert(1)>\">",
        "<!--><img src=x onerror=alert(1)>-->",
        "<!-- --!><img src=x onerror=alert(1)> -->",
        "<![CDATA[<img src=x onerror=alert(1)>]]>",
        "<base href=//evil.example><meta http-equiv=refresh content='0;url=//evil.example'>",
        "<link rel=stylesheet href=//evil.example/x.css>",
        "<form action=//evil.example><input name=q><button>x</button></form>",
        "<iframe src=//evil.example></iframe><frame src=//evil.example>",
        "<object data=//evil.example></object><embed src=//evil.example>",
        "<video src=//evil.example autoplay></video><audio src=//evil.example></audio>",
        "<style>@import '//evil.example';</style>",
        "<div style='background:url(//evil.example)'>x</div>",
        "<div style='position:fixed;top:0;left:0;width:100%'>x</div>",
        "<div style='margin-top:-900px'>x</div>",
        "<table background=//evil.example><tr><td>x</table>",
        "<img src=//evil.example/p.gif srcset='//evil.example/q.gif 2x'>",
        "<img dynsrc=javascript:alert(1) lowsrc=javascript:alert(1)>",
        "<p title='\"><img src=x onerror=alert(1)>'>x</p>",
        "<a title='`' href='https://x.example' style='x:expression(alert(1))'>x</a>",
        "<img src='attachment:1\" onerror=\"alert(1)'>",
        "<details open ontoggle=alert(1)>x</details>",
        "<input autofocus onfocus=alert(1)>",
        "<template><script>alert(1)</script></template>",
        "<svg><foreignObject><iframe src=javascript:alert(1)></iframe></foreignObject></svg>",
    ] {
        let shown = safe(html).text;
        // What stands in quotes is text; what is left are the tags.
        let mut bare = String::new();
        for (at, piece) in shown.split('"').enumerate() {
            if at % 2 == 0 {
                bare.push_str(piece);
            } else {
                assert!(!piece.contains("javascript"), "{html} gave {shown}");
            }
        }
        let tags: String = (bare.split('<').skip(1))
            .filter_map(|tag| tag.split('>').next())
            .collect::<Vec<_>>()
            .join(" ");
        for bad in [
            "script",
            " on",
            "svg",
            "math",
            "style=position",
            "iframe",
            "frame",
            "object",
            "embed",
            "form",
            "input",
            "button",
            "base",
            "meta",
            "link",
            "video",
            "audio",
            "textarea",
            "template",
            "title>",
            "noscript",
            "xmp",
            "srcset",
            "background",
            "details",
            " id=",
            " class=",
        ] {
            assert!(!tags.contains(bad), "{bad}: {html} gave {shown}");
        }
        for bad in [
            " src=\"//",
            " src=\"http",
            "href=\"//",
            "url(",
            "position:",
            "margin-top",
        ] {
            assert!(!shown.contains(bad), "{bad}: {html} gave {shown}");
        }
    }
}

#[test]
fn what_leaves() {
    for (html, remote, left) in [
        ("<p>a<p onclick=x>b", true, "<p>a</p><p>b</p>"),
        ("a<script>alert(1)</script>b", true, "ab"),
        (
            "<a href='https://x.example/' onclick=x>x</a><a href='javascript:x'>y</a>",
            true,
            "<a href=\"https://x.example/\">x</a><a>y</a>",
        ),
        (
            "<blockquote type=cite>old</blockquote><blockquote type=x>in</blockquote>",
            true,
            "<blockquote type=\"cite\">old</blockquote><blockquote>in</blockquote>",
        ),
        (
            "new<hr id=appendonsend>old<div class=gmail_signature>me</div>",
            true,
            "new<hr>old<div>me</div>",
        ),
        (
            "<img src=https://x.example/a.png width=3 onerror=x>",
            true,
            "<img src=\"https://x.example/a.png\" width=\"3\">",
        ),
        (
            "<img src=https://x.example/a.png alt='a &lt; b'>",
            false,
            "a &lt; b",
        ),
        (
            "<img src=cid:logo alt=Logo>",
            false,
            "<img src=\"cid:1.2\" alt=\"Logo\">",
        ),
        ("<img src=cid:other alt=Logo>", true, "Logo"),
        ("<img src='cid:x\" onerror=\"y'>", true, ""),
        ("<img alt=x>", true, "x"),
        ("<img src='data:text/html,x'>", true, ""),
        (
            "<img src='data:image/png;base64,AAAA'>",
            false,
            "<img src=\"data:image/png;base64,AAAA\">",
        ),
        ("<img src=attachment:1.2>", true, ""),
        (
            "<p style='background:url(http://t.example/x);color:red'>a</p>",
            true,
            "<p style=\"color:red\">a</p>",
        ),
        (
            "<form action=x><input></form><iframe src=x></iframe>",
            true,
            "",
        ),
    ] {
        let found = outgoing(html, remote, &mut |src| {
            (src == "cid:logo").then(|| "1.2".to_owned())
        });
        assert_eq!((found.as_str(), found.cut), (left, false), "{html}");
    }
    // A caller that names a part by what is no id gets no picture.
    let odd = outgoing("<img src=x>", true, &mut |_| {
        Some("a\"><script>".to_owned())
    });
    assert!(!odd.as_str().contains("cid"), "{}", odd.as_str());
    assert!(outgoing(&"x".repeat(SOURCE_BYTES_MAX + 1), true, &mut |_| None).cut);
}

#[test]
fn pictures_are_counted() {
    let html = safe(
        "<img src=//x.example/a><img src=http://x.example/b><td background=http://x.example/c>\
         <p style='background:url(http://x.example/d)'><img src=cid:none><img src=cid:logo>",
    );
    assert_eq!((html.blocked_images, html.missing_images), (4, 1));
}

#[test]
fn amounts() {
    let links = format!(
        "{}end",
        "<a href=http://x.example>x</a>".repeat(LINKS_MAX + 1)
    );
    let html = safe(&links);
    assert!(
        html.cut
            && html
                .text
                .ends_with("<a rel=\"noopener noreferrer nofollow\">x</a>end")
    );
    let tags = safe(&"<p>x</p>".repeat(TAGS_MAX + 1));
    assert!(tags.cut && tags.text.len() < 20 * TAGS_MAX);
    let deep = safe(&format!(
        "{}x{}y",
        "<div>".repeat(5000),
        "</div>".repeat(5000)
    ));
    assert!(!deep.cut && deep.text.contains('x') && deep.text.ends_with('y'));
    assert_eq!(deep.text.matches("<div>").count(), DEPTH_MAX);
    let long = safe(&"x".repeat(SOURCE_BYTES_MAX + 1));
    assert!(long.cut);
}
