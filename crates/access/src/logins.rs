//! Proves logins by a password file and a file of bearer tokens.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use policy::access::Login;
use tokio::sync::watch;

use crate::authorization::{Presented, UserPass};
use crate::htpasswd::{PASSWORD_BYTES_MAX, Users};
use crate::memory::{LoginHash, Memory, Recalled};
use crate::tokens::Tokens;
use crate::verifier::{Postponed, Verifier};

/// The logins of one password file and one file of tokens. Two with the same files are equal.
#[derive(Debug)]
pub struct Logins {
    users: Option<Arc<Users>>,
    tokens: Option<Arc<Tokens>>,
    memory: Arc<Memory>,
    /// The checks of passwords in progress. Simultaneous requests with one login share a check.
    checks: Mutex<HashMap<LoginHash, Check>>,
}

/// A check in progress: no value until it ends.
type Check = watch::Receiver<Option<Option<Login>>>;

/// A user's password that must be checked.
#[derive(Debug)]
pub struct Unchecked {
    login: UserPass,
    hash: LoginHash,
}

/// The verdict on a request's `Authorization`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is none.
    Nothing,
    /// It is right.
    Proved(Login),
    /// It is wrong.
    Wrong,
    /// Too many logins from this address failed; the time to wait.
    Paced(Duration),
    /// Too many passwords wait to be checked; the time to wait.
    Busy(Duration),
}

impl PartialEq for Logins {
    fn eq(&self, other: &Self) -> bool {
        let files = |it: &Self| {
            (it.users.as_ref().map(|it| *it.fingerprint()), it.tokens.as_ref().map(|it| *it.fingerprint()))
        };
        files(self) == files(other)
    }
}

impl Logins {
    /// The logins of these files.
    pub fn new(users: Option<Users>, tokens: Option<Tokens>) -> Self {
        let (users, tokens) = (users.map(Arc::new), tokens.map(Arc::new));
        Self { users, tokens, memory: Arc::new(Memory::new()), checks: Mutex::default() }
    }

    /// The same logins, which take over from `before` the passwords that were right and did not change. Else
    /// one more user in the file would cost a check for each client at once.
    pub(crate) fn succeeding(&self, before: &Self) -> Self {
        let still = |login: &Login| match (login, &self.users, &before.users) {
            (Login::User(name), Some(own), Some(others)) => own.agree_on(others, name),
            _ => false,
        };
        let memory = Arc::new(before.memory.retained(still));
        Self { users: self.users.clone(), tokens: self.tokens.clone(), memory, checks: Mutex::default() }
    }

    /// Proves the login in this value of `Authorization`. Every request comes here, so a password that was
    /// checked within the last minute costs one keyed hash.
    ///
    /// # Errors
    /// [`Unchecked`], for [`check`](Self::check): a password that was not checked lately.
    pub fn prove(&self, header: &[u8]) -> Result<Verdict, Unchecked> {
        let login = match Presented::read(header) {
            Presented::Nothing => return Ok(Verdict::Nothing),
            Presented::Unreadable => return Ok(Verdict::Wrong),
            Presented::Bearer(token) => return Ok(Verdict::of(self.token(token.expose(), None))),
            Presented::Basic(login) => login,
        };
        if let Some(login) = self.token(login.password(), Some(login.user())) {
            return Ok(Verdict::Proved(login));
        }
        if self.users.is_none() {
            return Ok(Verdict::Wrong);
        }
        let hash = self.memory.hash(login.canonical(PASSWORD_BYTES_MAX));
        match self.memory.recall(&hash) {
            Recalled::Proved(login) => Ok(Verdict::Proved(login)),
            Recalled::Wrong => Ok(Verdict::Wrong),
            Recalled::ProvedEarlier | Recalled::Unknown => Err(Unchecked { login, hash }),
        }
    }

    /// Checks a password, at most once for all requests that send it, under the bounds of `verifier`.
    pub async fn check(
        self: &Arc<Self>,
        password: Unchecked,
        address: IpAddr,
        verifier: &Arc<Verifier>,
    ) -> Verdict {
        match self.join_or_start(password, address, verifier) {
            Ok(Started::Known(verdict)) => verdict,
            Ok(Started::Running(mut check)) => {
                let ended = check.wait_for(Option::is_some).await;
                // A check that ended without a result has panicked.
                Verdict::of(ended.ok().and_then(|login| login.clone()).flatten())
            }
            Err(Postponed::Paced(wait)) => Verdict::Paced(wait),
            Err(Postponed::Busy(wait)) => Verdict::Busy(wait),
        }
    }

    /// The login of a token. As a password, it belongs to the user of its own name.
    fn token(&self, token: &[u8], user: Option<&[u8]>) -> Option<Login> {
        let name = self.tokens.as_ref()?.name_of(token)?;
        let is_own = user.is_none_or(|user| user == name.as_bytes());
        is_own.then(|| Login::Token(Arc::clone(name)))
    }

    /// Starts a check on a task of its own, so that it goes on if its client leaves, or joins one.
    fn join_or_start(
        self: &Arc<Self>,
        password: Unchecked,
        address: IpAddr,
        verifier: &Arc<Verifier>,
    ) -> Result<Started, Postponed> {
        let Unchecked { login, hash } = password;
        let mut checks = self.checks.lock();
        if let Some(check) = checks.get(&hash) {
            return Ok(Started::Running(check.clone()));
        }
        let turn = match self.memory.recall(&hash) {
            // Another request's check may have ended since this one looked.
            Recalled::Proved(login) => return Ok(Started::Known(Verdict::Proved(login))),
            Recalled::Wrong => return Ok(Started::Known(Verdict::Wrong)),
            Recalled::ProvedEarlier => verifier.take_turn_again()?,
            Recalled::Unknown => verifier.take_turn(address)?,
        };
        let (end, check) = watch::channel(None);
        checks.insert(hash, check.clone());
        drop(checks);
        let logins = Arc::clone(self);
        tokio::spawn(async move {
            let _running = Running { logins: Arc::clone(&logins), hash };
            let users = Arc::clone(&logins);
            let check = move || {
                let name = users.users.as_ref()?.check(login.user(), login.password())?;
                Some(Login::User(name))
            };
            let login = turn.run(check).await;
            logins.memory.remember(hash, login.clone());
            end.send_replace(Some(login));
        });
        Ok(Started::Running(check))
    }
}

enum Started {
    Known(Verdict),
    Running(Check),
}

/// Takes a check out of the table when it ends, even by a panic.
struct Running {
    logins: Arc<Logins>,
    hash: LoginHash,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.logins.checks.lock().remove(&self.hash);
    }
}

impl Verdict {
    fn of(login: Option<Login>) -> Self {
        login.map_or(Self::Wrong, Self::Proved)
    }
}

#[cfg(test)]
mod tests;
