//! Finds the commands of a tour in Markdown, with what each is said to print.

/// The fenced block ```` ```console ````: commands after `$ `, each followed by its output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) commands: Vec<TourCommand>,
}

/// One command of a tour.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TourCommand {
    /// Where it stands, counted from 1.
    pub(crate) line: usize,
    /// What the shell gets, without the `$ ` and without the ` &` of a background command.
    pub(crate) text: String,
    pub(crate) mode: Mode,
    /// What it is said to print, without blank lines at the end.
    pub(crate) expected: Vec<String>,
}

/// How a command runs.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// To its end, which must be a success.
    Succeeds,
    /// To its end, which may be a failure: the block is marked `may-fail`.
    MayFail,
    /// Beside the rest of the tour: the command ends in ` &`.
    Background,
}

/// What is wrong with a block, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MalformedBlock {
    pub(crate) line: usize,
    pub(crate) what: &'static str,
}

/// Every `console` block that is not marked `no-run`, in the order of the text.
pub(crate) fn blocks(markdown: &str) -> Result<Vec<Block>, MalformedBlock> {
    let mut found = Vec::new();
    let mut lines = markdown.lines().enumerate().map(|(index, line)| (index + 1, line));
    while let Some((opened, line)) = lines.next() {
        let Some(fence) = Fence::opening(line) else { continue };
        let mut content = Vec::new();
        loop {
            let (number, line) = lines.next().ok_or(MalformedBlock { line: opened, what: "this block never ends" })?;
            if fence.closed_by(line) {
                break;
            }
            content.push((number, fence.unindent(line)));
        }
        if fence.is("console") && !fence.has("no-run") {
            let mode = if fence.has("may-fail") { Mode::MayFail } else { Mode::Succeeds };
            found.push(Block { commands: commands(&content, mode)? });
        }
    }
    Ok(found)
}

fn commands(content: &[(usize, &str)], mode: Mode) -> Result<Vec<TourCommand>, MalformedBlock> {
    let mut commands: Vec<TourCommand> = Vec::new();
    let mut continues = false;
    for &(line, text) in content {
        match (text.strip_prefix("$ "), commands.last_mut()) {
            (_, Some(current)) if continues => {
                current.text.push('\n');
                current.text.push_str(text);
                continues = text.ends_with('\\');
            }
            (Some(command), _) => {
                commands.push(TourCommand { line, text: command.into(), mode, expected: Vec::new() });
                continues = command.ends_with('\\');
            }
            (None, Some(current)) => current.expected.push(text.into()),
            (None, None) => return Err(MalformedBlock { line, what: "output stands before the first command" }),
        }
    }
    for command in &mut commands {
        if let Some(text) = command.text.trim_end().strip_suffix(" &") {
            command.text = text.into();
            command.mode = Mode::Background;
        }
        super::compare::trim_end(&mut command.expected);
    }
    Ok(commands)
}

struct Fence<'a> {
    indent: usize,
    ticks: usize,
    info: &'a str,
}

impl<'a> Fence<'a> {
    fn opening(line: &'a str) -> Option<Self> {
        let body = line.trim_start();
        let info = body.trim_start_matches('`');
        let ticks = body.len() - info.len();
        (ticks >= 3 && !info.contains('`')).then(|| Self { indent: line.len() - body.len(), ticks, info: info.trim() })
    }

    fn closed_by(&self, line: &str) -> bool {
        let body = line.trim();
        body.len() >= self.ticks && body.bytes().all(|byte| byte == b'`')
    }

    fn unindent<'l>(&self, line: &'l str) -> &'l str {
        let blank = line.bytes().take(self.indent).take_while(|byte| *byte == b' ').count();
        line.get(blank..).unwrap_or(line)
    }

    fn is(&self, language: &str) -> bool {
        self.info.split_whitespace().next() == Some(language)
    }

    fn has(&self, word: &str) -> bool {
        self.info.split_whitespace().skip(1).any(|present| present == word)
    }
}
