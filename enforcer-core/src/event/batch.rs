//! Events as the kernel wrote them, one behind the other in one piece of memory.

/// A batch of events in the order in which they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    bytes: Vec<u8>,
    /// Where each event ends.
    ends: Vec<u32>,
}

impl Batch {
    /// An empty batch with room for `events` events of `bytes` bytes together.
    #[must_use]
    pub fn with_room(events: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(events) }
    }

    /// Puts an event behind the others; false, and nothing is put, when the batch would pass four gibibytes.
    #[must_use = "an event that was not taken is lost"]
    pub fn push(&mut self, event: &[u8]) -> bool {
        let Some(Ok(end)) = self.bytes.len().checked_add(event.len()).map(u32::try_from) else {
            return false;
        };
        self.bytes.extend_from_slice(event);
        self.ends.push(end);
        true
    }

    /// The events.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let end = usize::try_from(*end).unwrap_or(usize::MAX);
            let event = self.bytes.get(start..end).unwrap_or_default();
            start = end;
            event
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True without any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all of them.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for Batch {
    fn from_iter<I: IntoIterator<Item = T>>(events: I) -> Self {
        let mut batch = Self::default();
        for event in events {
            if !batch.push(event.as_ref()) {
                break;
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_as_they_went_in() {
        let events: [&[u8]; 4] = [b"one", b"", b"three", b"\0\0"];
        let batch: Batch = events.into_iter().collect();
        assert_eq!(batch.iter().collect::<Vec<_>>(), events);
        assert_eq!((batch.len(), batch.byte_len(), batch.is_empty()), (4, 10, false));
        assert_eq!(batch.iter().len(), 4);
    }

    #[test]
    fn an_empty_batch_has_no_events() {
        let batch = Batch::with_room(16, 4096);
        assert!(batch.is_empty() && batch.iter().next().is_none());
    }
}
