//! The screen of `diff`: per object what a sync would do, per field what is live and what Git
//! says, who changed it and when, and how many objects there are of each sort.

use gitops_api::FieldDrift;
use gitops_api::preview::{PreviewAction, PreviewCounts, PreviewObject, PreviewStatus};
use gitops_kit::paint::Style;
use gitops_kit::terminal::View;
use gitops_kit::text;
use gitops_views::diff::change::{Line, Side};
use gitops_views::diff::{change, counts as counts_of, is_different, sides, value};
use gitops_views::status::drift::culprit;
use jiff::Timestamp;
use serde_json::Value;

/// Widest a line is filled up to, so that what stands at its end is near its beginning.
const WIDEST: usize = 100;
/// Columns from which on who changed a value is written.
const CULPRIT_COLUMN: usize = 40;

/// What is shown.
#[derive(Clone, Copy, Debug)]
pub struct Diff<'a> {
    /// Name of the Application.
    pub application: &'a str,
    /// What the live cluster is called.
    pub live: &'a str,
    /// What it is compared with.
    pub git: &'a str,
    /// What was answered.
    pub answer: &'a PreviewStatus,
    /// Show created and deleted objects whole, as far as they were answered.
    pub whole: bool,
    /// Say what is compared, and sum up.
    pub headings: bool,
    /// The command that would bring it about, for users at a terminal.
    pub next: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
}

/// The whole screen.
pub fn screen(diff: &Diff<'_>, view: &View) -> String {
    let mut page = Page {
        text: String::new(),
        view,
    };
    let counts = counts_of(diff.answer);
    let arrow = if view.unicode { "→" } else { "->" };
    let title = format!(
        "{}: live in {} {arrow} {}",
        text::one_line(diff.application),
        text::one_line(diff.live),
        diff.git
    );
    if diff.headings {
        page.wrapped(0, Style::Plain, &title);
    }
    if !is_different(diff.answer) {
        let ignored = ignored(counts.ignored);
        let equal = objects(counts.equal);
        if diff.headings {
            let line = format!("no difference: {equal} as Git says{ignored}");
            page.styled("", Style::Good, &line);
        }
        return page.text;
    }
    if diff.headings {
        page.text.push('\n');
    }
    let mut shown: Vec<&PreviewObject> = diff.answer.objects.iter().collect();
    shown.sort_by_key(|object| rank(object.action));
    for object in shown {
        page.object(object, diff);
    }
    for caution in &diff.answer.cautions {
        let about = if caution.object.is_empty() {
            String::new()
        } else {
            format!("{}: ", text::one_line(&caution.object))
        };
        let caution = format!("! {about}{}", text::one_line(&caution.message));
        page.wrapped(0, Style::Warn, &caution);
    }
    if diff.headings {
        page.text.push('\n');
        page.wrapped(0, Style::Plain, &summary(&counts));
    }
    if diff.answer.truncated > 0 {
        let left_out = format!(
            "{} more are not shown: the answer would be too large for the API server",
            objects(diff.answer.truncated)
        );
        page.wrapped(0, Style::Warn, &left_out);
    }
    if view.interactive
        && let Some(next) = diff.next
    {
        page.styled("", Style::Dim, &format!("Next: {next}"));
    }
    page.text
}

/// What cannot be done comes first, what goes away last.
fn rank(action: PreviewAction) -> u8 {
    match action {
        PreviewAction::Refuse | PreviewAction::Withheld => 0,
        PreviewAction::Change | PreviewAction::Unknown => 1,
        PreviewAction::Create => 2,
        PreviewAction::Prune => 3,
    }
}

fn sign(action: PreviewAction) -> (&'static str, Style) {
    match action {
        PreviewAction::Refuse => ("!", Style::Bad),
        PreviewAction::Withheld => ("?", Style::Warn),
        PreviewAction::Change | PreviewAction::Unknown => ("~", Style::Warn),
        PreviewAction::Create => ("+", Style::Good),
        PreviewAction::Prune => ("-", Style::Bad),
    }
}

fn summary(counts: &PreviewCounts) -> String {
    let refused = if counts.refuse > 0 {
        format!(", {} that cannot be applied", counts.refuse)
    } else {
        String::new()
    };
    format!(
        "{} to create, {} to change, {} to prune, {} equal{refused}{}",
        counts.create,
        counts.change,
        counts.prune,
        counts.equal,
        ignored(counts.ignored)
    )
}

fn ignored(count: i64) -> String {
    match count {
        0 => String::new(),
        1 => "; 1 difference ignored by ignoreDifferences".to_owned(),
        _ => format!("; {count} differences ignored by ignoreDifferences"),
    }
}

fn objects(count: i64) -> String {
    match count {
        1 => "1 object".to_owned(),
        _ => format!("{count} objects"),
    }
}

struct Page<'a> {
    text: String,
    view: &'a View,
}

impl Page<'_> {
    fn styled(&mut self, indent: &str, style: Style, line: &str) {
        self.text.push_str(indent);
        self.text.push_str(&style.apply(line, self.view.color));
        self.text.push('\n');
    }

    /// Broken into lines where the terminal ends.
    fn wrapped(&mut self, indent: usize, style: Style, message: &str) {
        let indent_text = " ".repeat(indent);
        match self.view.width {
            None => self.styled(&indent_text, style, message),
            Some(width) => {
                for line in text::wrap(message, width.saturating_sub(indent).max(20)) {
                    self.styled(&indent_text, style, &line);
                }
            }
        }
    }

    fn object(&mut self, object: &PreviewObject, diff: &Diff<'_>) {
        let (sign, style) = sign(object.action);
        let name = sides::object(object);
        let remark = remark(object);
        let origin = text::one_line(&object.origin);
        // A prune has no origin: why it is one stands there instead.
        let (beside, below) = match object.action {
            PreviewAction::Prune => (remark, None),
            _ => (origin, Some(remark)),
        };
        self.heading(sign, style, &name, &beside);
        if let Some(remark) = below.filter(|remark| !remark.is_empty()) {
            let style = match object.action {
                PreviewAction::Refuse => Style::Bad,
                _ => Style::Dim,
            };
            self.wrapped(4, style, &remark);
        }
        for field in &object.fields {
            self.field(field, diff.now);
        }
        if diff.whole {
            let (side, whole) = match object.action {
                PreviewAction::Create => (Side::Git, &object.merged),
                PreviewAction::Prune => (Side::Live, &object.live),
                _ => return,
            };
            if let Some(whole) = whole {
                for line in value::yaml(&Value::Object(whole.clone())) {
                    self.line(&Line::whole(side, line), "");
                }
            }
        }
    }

    /// `~ Deployment team-a/web          apps/web/deploy.yaml:9`
    fn heading(&mut self, sign: &str, style: Style, name: &str, beside: &str) {
        let color = self.view.color;
        let left = 2 + text::width(name);
        self.text.push_str(&style.apply(sign, color));
        self.text.push(' ');
        self.text.push_str(&Style::Bold.apply(name, color));
        let beside_width = text::width(beside);
        let (gap, own_line) = match self.view.width {
            None => (2, false),
            Some(width) => {
                let width = width.min(WIDEST);
                let free = width.saturating_sub(left + beside_width);
                (free.max(2), left + 2 + beside_width > width)
            }
        };
        if beside.is_empty() {
            self.text.push('\n');
        } else if own_line {
            self.text.push('\n');
            self.wrapped(4, Style::Dim, beside);
        } else {
            self.text.push_str(&" ".repeat(gap));
            self.styled("", Style::Dim, beside);
        }
    }

    fn field(&mut self, field: &FieldDrift, now: Timestamp) {
        let path = text::one_line(&field.path);
        let lines = change::lines(field.live.as_deref(), field.desired.as_deref());
        // Without a name the time says only when the difference was noticed.
        let who = if field.manager.is_empty() {
            String::new()
        } else {
            culprit(field, "live: ", now)
        };
        let live_lines = lines.iter().filter(|line| line.side == Side::Live).count();
        // Beside the live value where it is one line, else beside the field.
        let beside_value = live_lines == 1 && lines.len() <= 2;
        self.text.push_str("    ");
        if beside_value || who.is_empty() {
            self.styled("", Style::Plain, &path);
        } else {
            let fits = self
                .view
                .width
                .is_none_or(|width| 6 + text::width(&path) + text::width(&who) <= width);
            let gap = if fits { "  " } else { "\n      " };
            self.text.push_str(&path);
            self.styled(gap, Style::Dim, &who);
        }
        for line in &lines {
            let who = if beside_value && line.side == Side::Live {
                who.as_str()
            } else {
                ""
            };
            self.line(line, who);
        }
    }

    fn line(&mut self, line: &Line, who: &str) {
        let color = self.view.color;
        let (sign, style) = match line.side {
            Side::Live => ("-", Style::Bad),
            Side::Git => ("+", Style::Good),
            Side::Both => (" ", Style::Plain),
            Side::Gap => ("", Style::Dim),
        };
        self.text.push_str("    ");
        if line.side == Side::Gap {
            let dots = text::ellipsis(self.view.unicode);
            let gap: String = line
                .pieces
                .iter()
                .map(|piece| piece.text.as_str())
                .collect();
            self.styled("", style, &format!("{dots} {gap}"));
            return;
        }
        self.text.push_str(&style.apply(sign, color));
        let mut width = 5;
        for (index, piece) in line.pieces.iter().enumerate() {
            if index == 0 && !piece.text.is_empty() {
                self.text.push(' ');
                width += 1;
            }
            width += text::width(&piece.text);
            self.text.push_str(&if piece.differs {
                style.emphasize(&piece.text, color)
            } else {
                style.apply(&piece.text, color)
            });
        }
        if who.is_empty() {
            self.text.push('\n');
            return;
        }
        let gap = CULPRIT_COLUMN.saturating_sub(width).max(2);
        let fits = self
            .view
            .width
            .is_none_or(|columns| width + gap + text::width(who) <= columns);
        let gap = if fits {
            " ".repeat(gap)
        } else {
            "\n      ".to_owned()
        };
        self.styled(&gap, Style::Dim, who);
    }
}

fn remark(object: &PreviewObject) -> String {
    let message = text::one_line(&object.message);
    if !message.is_empty() {
        return message;
    }
    match object.action {
        PreviewAction::Prune => "not in Git, a sync with prune deletes it".to_owned(),
        PreviewAction::Create => "does not exist, a sync creates it".to_owned(),
        PreviewAction::Refuse => "the API server refuses it".to_owned(),
        PreviewAction::Withheld => "you may not read it".to_owned(),
        PreviewAction::Change if object.fields.is_empty() => "differs".to_owned(),
        PreviewAction::Change | PreviewAction::Unknown => String::new(),
    }
}
