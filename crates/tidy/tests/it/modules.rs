//! The modules of a crate form no circle: of any two files, at most one needs the other.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::tree;

/// A module's place in its crate: the names after `crate`.
type ModulePath = Vec<String>;

/// One module, which is one file.
#[derive(Debug, Default)]
struct Module {
    /// The names that `use` brings into it, each with the path that it stands for.
    imports: BTreeMap<String, Vec<String>>,
    /// Every path in it that begins with `crate`, `self` or `super`, and every one of a `use`.
    paths: Vec<Vec<String>>,
    /// The names that a `pub use` hands on.
    handed_on: Vec<(String, Vec<String>)>,
    /// Every word outside a `use`.
    words: BTreeSet<String>,
}

type Crate = BTreeMap<ModulePath, Module>;

/// Which module needs which, with a path that says so.
type Arrows<'a> = BTreeMap<&'a ModulePath, BTreeMap<&'a ModulePath, String>>;

#[test]
fn no_two_modules_of_a_crate_need_each_other() {
    let mut crates: BTreeMap<String, Crate> = BTreeMap::new();
    for (path, text) in tree::files("crates", "rs").into_iter().filter(|(path, _)| !tree::is_test(path)) {
        let Some((name, module)) = place_of(&path) else { continue };
        let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut read = Module::default();
        read_module(tokens, &mut read);
        crates.entry(name).or_default().insert(module, read);
    }
    let mut circles = Vec::new();
    for (name, modules) in &crates {
        let arrows = arrows(modules);
        for circle in circles_of(&arrows) {
            let inside =
                circle.iter().flat_map(|from| arrows[from].iter().map(move |(to, path)| (from, to, path)));
            let ties = inside.filter(|(_, to, _)| circle.contains(to));
            let ties = ties.map(|(from, to, path)| format!("{} -> {} ({path})", shown(from), shown(to)));
            circles.push((name, ties.collect::<Vec<_>>()));
        }
    }
    assert!(circles.is_empty(), "these files need each other: {circles:#?}");
}

/// The crate and the module that a file below `src` is; none for anything else.
fn place_of(path: &str) -> Option<(String, ModulePath)> {
    let (_, inside) = path.split_once("/src/")?;
    let names = inside.strip_suffix(".rs")?.split('/').map(str::to_owned).collect::<Vec<_>>();
    let is_root = names == ["lib"] || names == ["main"];
    Some((tree::crate_of(path).to_owned(), if is_root { Vec::new() } else { names }))
}

fn shown(module: &ModulePath) -> String {
    if module.is_empty() { "(root)".to_owned() } else { module.join("/") }
}

fn read_module(tokens: TokenStream, module: &mut Module) {
    read_tokens(tokens, module);
    // Whoever hands a name on needs it only if it also uses it.
    let needed = module.handed_on.iter().filter(|(name, _)| module.words.contains(name));
    let needed: Vec<_> = needed.map(|(_, path)| path.clone()).collect();
    module.paths.extend(needed);
}

/// Finds what a file names, at any depth.
fn read_tokens(tokens: TokenStream, module: &mut Module) {
    let mut tokens = tokens.into_iter().peekable();
    let mut is_public = false;
    while let Some(token) = tokens.next() {
        let was_public = std::mem::take(&mut is_public);
        match token {
            TokenTree::Ident(word) if word == "pub" => is_public = true,
            TokenTree::Group(group) if was_public && group.delimiter() == Delimiter::Parenthesis => {
                is_public = true
            }
            // A module within a file is a test of it.
            TokenTree::Ident(word) if word == "mod" => {
                tokens.next();
                let _ = tokens.next_if(|token| matches!(token, TokenTree::Group(_)));
            }
            TokenTree::Ident(word) if word == "use" => {
                let tree: TokenStream =
                    std::iter::from_fn(|| tokens.next_if(|token| !is_mark(token, ';'))).collect();
                read_use(tree, &[], was_public, module);
            }
            TokenTree::Ident(word) if ["crate", "self", "super"].iter().any(|root| word == root) => {
                let mut path = vec![word.to_string()];
                while tokens.next_if(|token| is_mark(token, ':')).is_some() {
                    if let Some(TokenTree::Ident(next)) =
                        tokens.next_if(|token| matches!(token, TokenTree::Ident(_)))
                    {
                        path.push(next.to_string());
                    }
                }
                if path.len() > 1 {
                    module.paths.push(path);
                }
            }
            TokenTree::Group(group) => read_tokens(group.stream(), module),
            TokenTree::Ident(word) => drop(module.words.insert(word.to_string())),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// Reads what follows `use`, or one of its branches: `a::b`, `a::{b, c as d}`, `a::*`.
fn read_use(tokens: TokenStream, before: &[String], is_public: bool, module: &mut Module) {
    let mut branches: Vec<Vec<TokenTree>> = vec![Vec::new()];
    for token in tokens {
        match token {
            mark if is_mark(&mark, ',') => branches.push(Vec::new()),
            token => branches.last_mut().expect("one at least").push(token),
        }
    }
    for branch in branches.into_iter().filter(|branch| !branch.is_empty()) {
        let (mut path, mut other_name, mut is_renamed) = (before.to_vec(), None, false);
        let mut is_split = false;
        for token in branch {
            match token {
                TokenTree::Ident(word) if word == "as" => is_renamed = true,
                TokenTree::Ident(word) if is_renamed => other_name = Some(word.to_string()),
                TokenTree::Ident(word) if word == "self" && !path.is_empty() => {}
                TokenTree::Ident(word) => path.push(word.to_string()),
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    is_split = true;
                    read_use(group.stream(), &path, is_public, module);
                }
                TokenTree::Group(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
        if !is_split && let Some(last) = path.last() {
            let name = other_name.unwrap_or_else(|| last.clone());
            module.imports.insert(name.clone(), path.clone());
            if is_public { module.handed_on.push((name, path)) } else { module.paths.push(path) }
        }
    }
}

fn is_mark(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

/// Which module needs which. That a module declares another, or hands on its names, is no need.
fn arrows(modules: &Crate) -> Arrows<'_> {
    let mut arrows = Arrows::new();
    for (from, module) in modules {
        let needed =
            module.paths.iter().filter_map(|path| Some((home_of(modules, from, path, 0)?, path.join("::"))));
        arrows.entry(from).or_default().extend(needed.filter(|(to, _)| *to != from));
    }
    arrows
}

/// The module in which the item that `path` names, seen from `from`, is defined; none for another crate's.
fn home_of<'a>(
    modules: &'a Crate,
    from: &ModulePath,
    path: &[String],
    depth: usize,
) -> Option<&'a ModulePath> {
    const DEPTH_MAX: usize = 8;
    let (mut at, mut rest) = (from.clone(), path);
    match rest.first()?.as_str() {
        "crate" => {
            at.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|word| word == "super") {
                at.pop()?;
                rest = &rest[1..];
            }
        }
        first => {
            let mut child = at.clone();
            child.push(first.to_owned());
            let is_own = modules.contains_key(&child);
            let import = modules.get(from).and_then(|module| module.imports.get(first));
            if !is_own && import.is_none_or(|import| import.first().is_none_or(|root| root == first)) {
                return None;
            }
        }
    }
    while let Some(name) = rest.first() {
        let mut child = at.clone();
        child.push(name.clone());
        if modules.contains_key(&child) {
            at = child;
            rest = &rest[1..];
            continue;
        }
        // A name that the module has from elsewhere is needed from there.
        if let Some(import) = modules.get(&at).and_then(|module| module.imports.get(name))
            && depth < DEPTH_MAX
            && import.as_slice() != path
        {
            return home_of(modules, &at, import, depth + 1);
        }
        break;
    }
    modules.get_key_value(&at).map(|(module, _)| module)
}

/// The groups of modules of which each needs, over however many others, every other.
fn circles_of<'a>(arrows: &Arrows<'a>) -> Vec<Vec<&'a ModulePath>> {
    let reached: BTreeMap<_, _> = arrows.keys().map(|from| (*from, reached_from(arrows, from))).collect();
    let mut circles = Vec::new();
    let mut seen = BTreeSet::new();
    for (from, all) in &reached {
        if !all.contains(from) || seen.contains(from) {
            continue;
        }
        let circle: Vec<_> = all.iter().copied().filter(|to| reached[to].contains(from)).collect();
        seen.extend(circle.iter().copied());
        circles.push(circle);
    }
    circles
}

fn reached_from<'a>(arrows: &Arrows<'a>, from: &ModulePath) -> BTreeSet<&'a ModulePath> {
    let mut reached = BTreeSet::new();
    let mut ahead: Vec<&ModulePath> = arrows[from].keys().copied().collect();
    while let Some(next) = ahead.pop() {
        if reached.insert(next) {
            ahead.extend(arrows[next].keys());
        }
    }
    reached
}

#[test]
fn a_circle_is_found_over_renamed_handed_on_and_inline_names() {
    let read = |text: &str| {
        let mut module = Module::default();
        read_module(text.parse().expect("Rust"), &mut module);
        module
    };
    let path =
        |text: &str| text.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let of = |files: &[(&str, &str)]| -> Vec<String> {
        let modules: Crate = files.iter().map(|(name, text)| (path(name), read(text))).collect();
        let circles = circles_of(&arrows(&modules));
        circles
            .iter()
            .map(|circle| circle.iter().map(|module| shown(module)).collect::<Vec<_>>().join(" "))
            .collect()
    };
    assert!(
        of(&[("", "mod a; mod b; pub use a::A;"), ("a", "struct A;"), ("b", "use crate::A;")]).is_empty()
    );
    assert_eq!(of(&[("", ""), ("a", "use crate::b::B as C;"), ("b", "fn f() { crate::a::g() }")]), ["a b"]);
    assert_eq!(
        of(&[("", "pub use a::A;"), ("a", "use super::b::{self, X};"), ("b", "use crate::{A};")]),
        ["a b"]
    );
    assert_eq!(of(&[("a", "mod b; use b::B;"), ("a/b", "use super::A;")]), ["a a/b"]);
    assert!(of(&[("a", "mod b; pub(crate) use b::B; struct A;"), ("a/b", "use super::A;")]).is_empty());
    assert_eq!(of(&[("a", "mod b; pub use b::B; struct A(B);"), ("a/b", "use super::A;")]), ["a a/b"]);
    assert_eq!(
        of(&[("a", "use crate::b::B;"), ("b", "use crate::c::C;"), ("c", "use crate::a::A;")]),
        ["a b c"]
    );
    assert!(of(&[("a", "mod b; use std::b::B;"), ("a/b", "use super::c::C;"), ("a/c", "")]).is_empty());
}
