//! Numbers of several runs, and what is said of them.

/// At least one number, sorted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    sorted: Vec<f64>,
}

impl Sample {
    pub(crate) fn median(&self) -> f64 {
        self.percentile(50.0)
    }

    pub(crate) fn low(&self) -> f64 {
        self.percentile(0.0)
    }

    pub(crate) fn high(&self) -> f64 {
        self.percentile(100.0)
    }

    pub(crate) const fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Nearest rank; not a number for an empty sample.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        let last = self.sorted.len().saturating_sub(1);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank within a sample of at most some thousands"
        )]
        let rank = (last as f64 * percent / 100.0).round() as usize;
        self.sorted.get(rank).copied().unwrap_or(f64::NAN)
    }

    /// Number by number with another sample of the same runs.
    pub(crate) fn zip(runs: &[f64], others: &[f64], join: impl Fn(f64, f64) -> f64) -> Self {
        Self::from(runs.iter().zip(others).map(|(run, other)| join(*run, *other)).collect::<Vec<_>>())
    }
}

impl From<Vec<f64>> for Sample {
    fn from(mut numbers: Vec<f64>) -> Self {
        numbers.sort_by(f64::total_cmp);
        Self { sorted: numbers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_members_of_the_sample() {
        let sample = Sample::from(vec![5.0, 1.0, 9.0, 3.0, 7.0]);
        assert_eq!((sample.low(), sample.median(), sample.high()), (1.0, 5.0, 9.0));
        assert_eq!(sample.percentile(99.0), 9.0);
    }

    #[test]
    fn runs_are_joined_in_the_order_in_which_they_were_made() {
        let ratios = Sample::zip(&[4.0, 9.0], &[2.0, 3.0], |run, other| run / other);
        assert_eq!((ratios.low(), ratios.high()), (2.0, 3.0));
    }
}
