//! The repositories of a store by number, so that a manifest needs four bytes to say where it is.

use std::collections::HashMap;

use oci::Repository;

/// A repository's number. It is free for another one when the repository has neither manifest nor tag.
pub(crate) type Number = u32;

/// The repositories that have manifests or tags.
#[derive(Debug, Default)]
pub(crate) struct Repositories {
    numbers: HashMap<Repository, Number>,
    /// By number: the name, and how many entries refer to it.
    names: Vec<Option<(Repository, u32)>>,
    free: Vec<Number>,
}

impl Repositories {
    pub(crate) fn number(&self, repository: &Repository) -> Option<Number> {
        self.numbers.get(repository).copied()
    }

    pub(crate) fn name(&self, number: Number) -> Option<&Repository> {
        self.names.get(number as usize)?.as_ref().map(|(name, _)| name)
    }

    /// The number of a repository, to which one more entry refers.
    pub(crate) fn refer(&mut self, repository: &Repository) -> Number {
        if let Some(number) = self.number(repository) {
            let (_, count) = self.names[number as usize].as_mut().expect("the number is in use");
            *count += 1;
            return number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.names.push(None);
            u32::try_from(self.names.len() - 1).expect("fewer repositories than u32::MAX")
        });
        self.names[number as usize] = Some((repository.clone(), 1));
        self.numbers.insert(repository.clone(), number);
        number
    }

    /// One entry less refers to a repository.
    pub(crate) fn leave(&mut self, number: Number) {
        let Some(Some((name, count))) = self.names.get_mut(number as usize) else { return };
        *count -= 1;
        if *count == 0 {
            self.numbers.remove(name);
            self.names[number as usize] = None;
            self.free.push(number);
        }
    }

    /// The memory of all of them, in bytes, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        let names = self.names.capacity() * size_of::<Option<(Repository, u32)>>();
        let texts: usize = self.numbers.keys().map(|name| name.as_str().len() + 16).sum();
        // A map has a control byte for each place.
        let map = self.numbers.capacity() * (size_of::<(Repository, Number)>() + 1);
        names + texts + map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_given_again_when_nothing_refers_to_it() {
        let name = |name: &str| name.parse::<Repository>().unwrap();
        let mut repositories = Repositories::default();
        let (one, other) = (repositories.refer(&name("one")), repositories.refer(&name("other")));
        assert_eq!(repositories.refer(&name("one")), one);
        repositories.leave(one);
        assert_eq!(repositories.number(&name("one")), Some(one));
        repositories.leave(one);
        assert_eq!((repositories.number(&name("one")), repositories.name(one)), (None, None));
        assert_eq!(repositories.refer(&name("third")), one);
        assert_eq!(repositories.name(other), Some(&name("other")));
    }
}
