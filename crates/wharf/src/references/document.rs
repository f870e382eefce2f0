//! Documents in YAML or JSON, as trees of texts.
//!
//! YAML aliases share the node that they name, so a document that repeats itself takes no more memory than
//! its text. A walk over it counts its steps ([`Walk`]).

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScanError, Span};

/// The most nodes of one document.
const NODE_COUNT_MAX: usize = 4 << 20;

/// The deepest nesting, aliases included.
const DEPTH_MAX: usize = 100;

/// The most steps over one document.
const STEP_COUNT_MAX: usize = 8 << 20;

/// One document.
#[derive(Debug)]
pub(super) struct Document {
    root: Rc<Node>,
}

/// A value and its line.
#[derive(Debug)]
pub(super) struct Node {
    line: usize,
    depth: usize,
    value: Value,
}

/// The content of a node. Numbers and the like are texts, as they are written.
#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    List(Vec<Rc<Node>>),
    Map(Vec<(String, Rc<Node>)>),
}

/// Why a document cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) line: usize,
    why: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this document was left out, because it is not YAML: {}", self.why)
    }
}

impl Document {
    pub(super) fn root(&self) -> &Node {
        &self.root
    }
}

impl Node {
    pub(super) fn line(&self) -> usize {
        self.line
    }

    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// The entries, if it is a map.
    pub(super) fn entries(&self) -> &[(String, Rc<Node>)] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The items, if it is a list.
    pub(super) fn items(&self) -> &[Rc<Node>] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    /// The value of a key, of the map itself or of those that it merges (YAML, "Merge Key").
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.find(key, DEPTH_MAX)
    }

    fn find(&self, key: &str, depth: usize) -> Option<&Node> {
        let own = self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| &**node);
        if own.is_some() || depth == 0 {
            return own;
        }
        let merged = self.entries().iter().find(|(name, _)| name == "<<").map(|(_, node)| node)?;
        match &merged.value {
            Value::Map(_) => merged.find(key, depth - 1),
            Value::List(maps) => maps.iter().take(DEPTH_MAX).find_map(|map| map.find(key, depth - 1)),
            Value::Text(_) => None,
        }
    }
}

/// Counts the steps over a document, which aliases can make far longer than its text.
#[derive(Debug)]
pub(super) struct Walk(usize);

impl Walk {
    pub(super) fn new() -> Self {
        Self(STEP_COUNT_MAX)
    }

    /// Whether one more step is allowed.
    pub(super) fn step(&mut self) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 > 0
    }
}

/// The documents of a text, each of which can be unreadable by itself.
pub(super) fn documents(text: &str) -> Vec<Result<Document, Unreadable>> {
    if text.trim_start().starts_with(['{', '['])
        && let Some(documents) = json(text)
    {
        return documents;
    }
    pieces(text).filter_map(|(line, piece)| yaml(piece, line).transpose()).collect()
}

/// Splits a YAML text at the markers between documents. Returns each piece and the number of lines before it.
fn pieces(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = Some((0, text));
    std::iter::from_fn(move || {
        let (line, text) = rest.take()?;
        let (mut end, mut count) = (text.len(), 0);
        let mut at = 0;
        for (index, piece) in text.split_inclusive('\n').enumerate() {
            let is_marker =
                piece.strip_prefix("---").is_some_and(|rest| rest.trim_start() != rest || rest.is_empty());
            if index > 0 && is_marker {
                (end, count) = (at, index);
                break;
            }
            at += piece.len();
        }
        if end < text.len() {
            rest = Some((line + count, &text[end..]));
        }
        Some((line, &text[..end]))
    })
}

/// The documents of a JSON text; `None`: it is not JSON, or nested too deeply.
fn json(text: &str) -> Option<Vec<Result<Document, Unreadable>>> {
    let values = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    let mut documents = Vec::new();
    for value in values {
        documents.push(Ok(Document { root: of_json(value.ok()?) }));
    }
    Some(documents)
}

fn of_json(value: serde_json::Value) -> Rc<Node> {
    let value = match value {
        serde_json::Value::String(text) => Value::Text(text),
        serde_json::Value::Array(items) => Value::List(items.into_iter().map(of_json).collect()),
        serde_json::Value::Object(entries) => {
            Value::Map(entries.into_iter().map(|(key, value)| (key, of_json(value))).collect())
        }
        other => Value::Text(other.to_string()),
    };
    Rc::new(Node { line: 0, depth: 0, value })
}

/// Reads one YAML document. `None`: the text has none.
fn yaml(text: &str, lines_before: usize) -> Result<Option<Document>, Unreadable> {
    let mut builder = Builder { lines_before, line_count: text.lines().count(), ..Builder::default() };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| builder.wrong(&error))?;
        builder.take(event, span)?;
    }
    Ok(builder.root.map(|root| Document { root }))
}

/// Builds the tree from the parser's events, without recursion.
#[derive(Default)]
struct Builder {
    lines_before: usize,
    line_count: usize,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    node_count: usize,
    root: Option<Rc<Node>>,
}

/// A list or map whose end has not come.
struct Open {
    line: usize,
    anchor: usize,
    depth: usize,
    value: Value,
    /// The key of a map whose value comes next.
    key: Option<String>,
}

impl Builder {
    fn wrong(&self, error: &ScanError) -> Unreadable {
        // The end of a document counts as the line after it.
        let line = error.marker().line().min(self.line_count);
        Unreadable { line: self.lines_before + line, why: error.info().to_owned() }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Unreadable> {
        let line = self.lines_before + span.start.line();
        let refuse = |why: &str| Err(Unreadable { line, why: why.to_owned() });
        match event {
            Event::Scalar(text, _, anchor, _) => {
                let node = Node { line, depth: 0, value: Value::Text(text.into_owned()) };
                self.add(node, anchor)?;
            }
            Event::SequenceStart(anchor, _) => self.begin(line, anchor, Value::List(Vec::new()))?,
            Event::MappingStart(anchor, _) => self.begin(line, anchor, Value::Map(Vec::new()))?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Open { line, anchor, depth, value, .. }) = self.open.pop() {
                    self.add(Node { line, depth: depth + 1, value }, anchor)?;
                }
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => self.put(Rc::clone(node))?,
                None => return refuse("an alias names a node that contains it"),
            },
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, line: usize, anchor: usize, value: Value) -> Result<(), Unreadable> {
        if self.open.len() >= DEPTH_MAX {
            return Err(Unreadable { line, why: format!("it is nested deeper than {DEPTH_MAX}") });
        }
        self.open.push(Open { line, anchor, depth: 0, value, key: None });
        Ok(())
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Unreadable> {
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.put(node)
    }

    /// Puts a complete node into the innermost open one.
    fn put(&mut self, node: Rc<Node>) -> Result<(), Unreadable> {
        self.node_count += 1;
        let line = node.line;
        if self.node_count > NODE_COUNT_MAX {
            return Err(Unreadable { line, why: format!("it has more than {NODE_COUNT_MAX} values") });
        }
        if self.open.len() + node.depth > DEPTH_MAX {
            return Err(Unreadable { line, why: format!("it is nested deeper than {DEPTH_MAX}") });
        }
        let Some(open) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return Ok(());
        };
        match &mut open.value {
            Value::List(items) => {
                open.depth = open.depth.max(node.depth);
                items.push(node);
            }
            Value::Map(entries) => match open.key.take() {
                Some(key) => {
                    open.depth = open.depth.max(node.depth);
                    entries.push((key, node));
                }
                // A key that is no text names nothing that is looked for.
                None => open.key = Some(node.text().unwrap_or_default().to_owned()),
            },
            Value::Text(_) => {}
        }
        Ok(())
    }
}
