//! Questions to servers, answered in the background. Whoever asks waits for a moment; the question goes
//! on without them, once however many ask it, and its answer is there when they come back. Never knows
//! what is asked.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long an answer waits for those who went on without it.
const KEPT: Duration = Duration::from_mins(2);

/// The questions being asked; `Q` tells them apart.
pub(super) struct Errands<Q, A>(Arc<Mutex<Vec<Errand<Q, A>>>>);

struct Errand<Q, A> {
    question: Q,
    since: Timestamp,
    started: Instant,
    answer: watch::Receiver<Option<Result<A, String>>>,
    /// How many went on without the answer and will come back for it.
    turned_away: usize,
    ended: Option<Instant>,
}

/// An answer, and how old it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer<A> {
    /// It was looked for since it was asked.
    Now(A),
    /// It was being looked for already: what it is about may be otherwise by now.
    Joined(A),
    /// It came before, and waited.
    Kept(A),
}

impl<A> Answer<A> {
    /// What was found, however old.
    pub(super) fn found(self) -> A {
        match self {
            Self::Now(found) | Self::Joined(found) | Self::Kept(found) => found,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// Not yet; asked since then.
    Yet(Timestamp),
    /// The task that asked ended early.
    Interrupted(String),
}

impl<Q, A> Default for Errands<Q, A> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<Q, A> Errands<Q, A>
where
    Q: Clone + PartialEq + Send + 'static,
    A: Clone + Send + Sync + 'static,
{
    /// The answer to `question`, which `work` finds where nobody is asking it already. Waits until
    /// `patience` after the question was first asked. When it ends later than somebody waited,
    /// `woken` is called.
    pub(super) async fn ask(
        &self,
        question: Q,
        patience: Duration,
        work: impl Future<Output = A> + Send + 'static,
        woken: impl FnOnce() + Send + 'static,
    ) -> Result<Answer<A>, NoAnswer> {
        let (mut answer, deadline, begun) = {
            let mut errands = self.0.lock();
            let old = |ended: Option<Instant>| ended.is_some_and(|ended| ended.elapsed() > KEPT);
            errands.retain(|errand| !old(errand.ended));
            if let Some(answer) = take(&mut errands, &question) {
                let answer = answer.map(Answer::Kept);
                return answer.map_err(NoAnswer::Interrupted);
            }
            let begins = !errands.iter().any(|errand| errand.question == question);
            if begins {
                errands.push(self.begin(question.clone(), work, woken));
            }
            let errand = errands.iter().find(|errand| errand.question == question);
            let Some(errand) = errand else {
                return Err(gone());
            };
            (errand.answer.clone(), errand.started + patience, begins)
        };
        let age = if begun { Answer::Now } else { Answer::Joined };
        let waiting = answer.wait_for(Option::is_some);
        if let Ok(Ok(found)) = tokio::time::timeout_at(deadline, waiting).await
            && let Some(found) = found.clone()
        {
            return found.map(age).map_err(NoAnswer::Interrupted);
        }
        let mut errands = self.0.lock();
        let errand = errands
            .iter_mut()
            .find(|errand| errand.question == question);
        let Some(errand) = errand else {
            return Err(gone());
        };
        let now = errand.answer.borrow().clone();
        if let Some(found) = now {
            // It came while nobody looked.
            return found.map(age).map_err(NoAnswer::Interrupted);
        }
        errand.turned_away += 1;
        Err(NoAnswer::Yet(errand.since))
    }

    fn begin(
        &self,
        question: Q,
        work: impl Future<Output = A> + Send + 'static,
        woken: impl FnOnce() + Send + 'static,
    ) -> Errand<Q, A> {
        let (sender, answer) = watch::channel(None);
        let (errands, asked) = (Arc::clone(&self.0), question.clone());
        tokio::spawn(async move {
            // A task of its own, so that a panic is an answer, too.
            let found = tokio::spawn(work).await.map_err(|error| error.to_string());
            let late = {
                let mut errands = errands.lock();
                sender.send_replace(Some(found));
                let place = errands.iter().position(|errand| errand.question == asked);
                match place.map(|place| (place, errands[place].turned_away)) {
                    Some((place, 0)) => {
                        errands.swap_remove(place);
                        false
                    }
                    Some((place, _)) => {
                        errands[place].ended = Some(Instant::now());
                        true
                    }
                    None => false,
                }
            };
            if late {
                woken();
            }
        });
        Errand {
            question,
            since: Timestamp::now(),
            started: Instant::now(),
            answer,
            turned_away: 0,
            ended: None,
        }
    }
}

fn gone() -> NoAnswer {
    NoAnswer::Interrupted("its answer is gone".to_owned())
}

/// The answer of an errand that ended; the last who comes back for it takes it along.
fn take<Q: PartialEq, A: Clone>(
    errands: &mut Vec<Errand<Q, A>>,
    question: &Q,
) -> Option<Result<A, String>> {
    let ended = |errand: &Errand<Q, A>| errand.ended.is_some() && errand.question == *question;
    let place = errands.iter().position(ended)?;
    let errand = &mut errands[place];
    errand.turned_away = errand.turned_away.saturating_sub(1);
    let answer = errand.answer.borrow().clone();
    if errand.turned_away == 0 {
        errands.swap_remove(place);
    }
    answer
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::{Notify, Semaphore};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_is_asked_for_once_and_there_for_all_who_come_back() {
        let errands: Errands<&str, u32> = Errands::default();
        let (gate, asked) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let (woken, told) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let ask = || {
            let (gate, asked) = (gate.clone(), asked.clone());
            let (woken, told) = (woken.clone(), told.clone());
            let work = async move {
                asked.fetch_add(1, Ordering::SeqCst);
                let _turn = gate.acquire().await;
                7
            };
            errands.ask("slow", PATIENCE, work, move || {
                told.fetch_add(1, Ordering::SeqCst);
                woken.notify_one();
            })
        };
        let before = Instant::now();
        for _ in 0..8 {
            assert!(matches!(ask().await, Err(NoAnswer::Yet(_))));
        }
        assert_eq!(before.elapsed(), PATIENCE, "all of them together");
        gate.add_permits(1);
        woken.notified().await;
        for _ in 0..8 {
            assert_eq!(ask().await, Ok(Answer::Kept(7)));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert_eq!(told.load(Ordering::SeqCst), 1);
        // Nobody is owed an answer any more: the next one asks.
        assert_eq!(ask().await, Ok(Answer::Now(7)));
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        assert!(errands.0.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_answer_wakes_nobody_and_a_panic_is_said() {
        let errands: Errands<&str, u32> = Errands::default();
        let never = || panic!("nobody waits to be woken");
        let quick = errands.ask("a", PATIENCE, async { 1 }, never).await;
        assert_eq!(quick, Ok(Answer::Now(1)));
        let panics = async { panic!("broken") };
        let answer = errands.ask("a", PATIENCE, panics, never).await;
        assert!(matches!(answer, Err(NoAnswer::Interrupted(_))));
        assert!(errands.0.lock().is_empty());
    }
}
