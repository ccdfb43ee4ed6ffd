//! Answers that are made when the caller has room for one: whoever does not read costs one message, and is then
//! given the newest.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio_stream::Stream;
use tonic::Status;

/// A stream of answers.
pub(super) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What makes them.
pub(super) trait Source: Sized + Send + 'static {
    /// One of them.
    type Answer: Send;

    /// The next; `None` when there are no more. An error is the last.
    fn next(&mut self) -> impl Future<Output = Option<Result<Self::Answer, Status>>> + Send;
}

/// The answers of a source.
pub(super) fn pull<S: Source>(source: S) -> Answers<S::Answer> {
    Box::pin(Pulled(Some(step(source))))
}

type Step<S> = Pin<Box<dyn Future<Output = (S, Option<Result<<S as Source>::Answer, Status>>)> + Send>>;

struct Pulled<S: Source>(Option<Step<S>>);

fn step<S: Source>(mut source: S) -> Step<S> {
    Box::pin(async move {
        let answer = source.next().await;
        (source, answer)
    })
}

impl<S: Source> Stream for Pulled<S> {
    type Item = Result<S::Answer, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(now) = self.0.as_mut() else { return Poll::Ready(None) };
        let (source, answer) = ready!(now.as_mut().poll(context));
        self.0 = match &answer {
            Some(Ok(_)) => Some(step(source)),
            // The source goes at once, and what it holds with it.
            Some(Err(_)) | None => None,
        };
        Poll::Ready(answer)
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;

    use super::*;

    struct Countdown(i32);

    impl Source for Countdown {
        type Answer = i32;

        async fn next(&mut self) -> Option<Result<i32, Status>> {
            self.0 -= 1;
            if self.0 > 0 { Some(Ok(self.0)) } else { Some(Err(Status::aborted("zero"))) }
        }
    }

    #[tokio::test]
    async fn an_error_is_the_last_answer() {
        let mut answers = pull(Countdown(3));
        assert_eq!(answers.next().await.unwrap().unwrap(), 2);
        assert_eq!(answers.next().await.unwrap().unwrap(), 1);
        assert!(answers.next().await.unwrap().is_err());
        assert!(answers.next().await.is_none());
    }
}
