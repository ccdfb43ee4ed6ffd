//! `cargo xtask vm`: suites in machines that boot other kernels than this one, with and without security hooks for
//! kernel programs, and with the modules that this one lacks.

mod archive;
mod budget;
mod closure;
mod cpio;
mod image;
mod kernel;
mod machine;
mod modules;
mod report;
mod skips;
mod sources;
mod suite;
mod verdict;

pub(crate) use kernel::Kernel;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use enforcer_vm::{Job, Orders, Word};

use self::budget::Budget;
use self::image::Contents;
use self::kernel::Files;
use self::machine::{Boot, Heard};
use self::modules::Modules;
use self::report::{Report, Row};
use self::skips::Skips;
use self::suite::{Cases, Suite};
use self::verdict::Verdict;
use crate::test::tally::Tally;
use crate::{build, root, setup};

/// Run suites in virtual machines that boot Debian's kernels.
///
/// Each machine is qemu without hardware support, so it runs anywhere, ten to thirty times slower than the metal. It
/// boots a cloud kernel of Debian's archive (fetched once into target/vm/kernels; nothing is installed) on a file system
/// that holds our programs only, runs the suites as root, and powers off.
///
/// What the programs printed is in target/vm/MACHINE/console.log, what the kernel printed in kernel.log beside it. What
/// cannot pass on a kernel is listed in tests/vm/skips.txt; what the verifier may look at, in tests/vm/budget.txt.
#[derive(Args, Default)]
#[command(after_help = "Examples:
  cargo xtask vm                                     all suites on every kernel
  cargo xtask vm 6.1 --suite programs                one suite on one kernel
  cargo xtask vm 6.12 --lsm off                      without security hooks for programs
  cargo xtask vm 6.12 --suite netns --filter life::  some cases; their names contain the text
  cargo xtask vm 6.12 --suite netns --all            every case, which takes a quarter of an hour
  cargo xtask vm newest --shell                      look around
  cargo xtask vm --suite cost --write-budget         after a change of the kernel programs

docs/testing-vm.md says how to read a failure and how to add a kernel.")]
pub(crate) struct Vm {
    /// Kernels to boot; every one when none is named.
    #[arg(value_enum)]
    kernels: Vec<Kernel>,
    /// Suites to run; every one when none is named.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    suite: Vec<String>,
    /// Only cases whose names contain this.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Every case; of suites that take long, only the usual ones run otherwise.
    #[arg(long, conflicts_with = "filter")]
    all: bool,
    /// Whether the kernel runs programs at its security hooks.
    #[arg(long, value_enum, default_value_t)]
    lsm: Lsm,
    /// More words for the kernel's command line.
    #[arg(long, value_name = "WORDS", default_value = "", allow_hyphen_values = true)]
    kernel_args: String,
    /// An interactive shell instead of the suites, whose programs are in /opt/enforcer.
    #[arg(long)]
    shell: bool,
    /// Print what the suites print.
    #[arg(long, short)]
    verbose: bool,
    /// Ask the archive for newer kernels; it is asked once a week otherwise.
    #[arg(long)]
    update: bool,
    /// Write what the verifier does now into tests/vm/budget.txt.
    #[arg(long)]
    write_budget: bool,
    /// Say what would run, and end.
    #[arg(long)]
    list: bool,
}

/// Whether a kernel runs programs at its security hooks. Where it does not they load all the same, and never run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lsm {
    /// As nodes should be: `lsm=…,bpf`.
    #[default]
    On,
    /// As many nodes are.
    Off,
}

impl Lsm {
    /// The security modules of the kernel's command line.
    const fn modules(self) -> &'static str {
        match self {
            Self::On => "lockdown,capability,bpf",
            Self::Off => "lockdown,capability",
        }
    }

    /// The name of a machine with this kernel.
    fn machine(self, kernel: Kernel) -> String {
        match self {
            Self::On => kernel.to_string(),
            Self::Off => format!("{kernel}{LSM_OFF}"),
        }
    }
}

/// Ends the name of a machine whose kernel runs no programs at its security hooks.
const LSM_OFF: &str = "-lsm-off";

/// The kernel of a machine.
fn kernel_of(machine: &str) -> &str {
    machine.strip_suffix(LSM_OFF).unwrap_or(machine)
}

/// What every machine of one run is made of.
struct Workshop<'a> {
    vm: &'a Vm,
    contents: Contents,
    suites: Vec<Suite>,
    skips: Skips,
    budget: Budget,
}

impl Vm {
    /// What security hooks decide, on one kernel: a level of `cargo xtask test`.
    pub(crate) fn hooks_on(kernel: Kernel, filter: Option<&str>) -> Self {
        let suite = suite::OF_HOOKS.map(str::to_owned).to_vec();
        Self { kernels: vec![kernel], suite, filter: filter.map(str::to_owned), ..Self::default() }
    }

    pub(crate) fn run(&self) -> Result<ExitCode> {
        if self.list {
            self.show();
            return Ok(ExitCode::SUCCESS);
        }
        let tally = self.tally()?;
        Ok(if tally.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Runs everything, and counts.
    ///
    /// # Errors
    /// A machine could not be made.
    pub(crate) fn tally(&self) -> Result<Tally> {
        if cfg!(not(target_arch = "x86_64")) {
            bail!("the machines are x86-64, and run programs that were built for this one");
        }
        setup::machines()?;
        build::programs()?;
        let names = if self.suite.is_empty() { suite::names() } else { self.suite.clone() };
        let suites = suite::build(&names)?;
        let contents = Contents::collect(&suites)?;
        let budget = Budget::load()?;
        let mut workshop = Workshop { vm: self, contents, suites, skips: Skips::load()?, budget };
        let mut report = Report::default();
        for kernel in self.kernels() {
            workshop.boot(kernel, &mut report).with_context(|| format!("kernel {kernel}"))?;
        }
        if self.write_budget {
            workshop.budget.save()?;
        }
        if !self.shell {
            print!("\n{report}");
        }
        Ok(report.tally())
    }

    fn cases(&self) -> Cases {
        match &self.filter {
            Some(text) => Cases::Containing(text.clone()),
            None if self.all => Cases::All,
            None => Cases::Usual,
        }
    }

    fn kernels(&self) -> Vec<Kernel> {
        if self.kernels.is_empty() { Kernel::ALL.to_vec() } else { self.kernels.clone() }
    }

    fn show(&self) {
        for kernel in self.kernels() {
            println!("{}: {}", self.lsm.machine(kernel), suite::names().join(" "));
        }
    }
}

impl Workshop<'_> {
    fn boot(&mut self, kernel: Kernel, report: &mut Report) -> Result<()> {
        let name = self.vm.lsm.machine(kernel);
        let jobs =
            if self.vm.shell { vec![suite::shell_job(kernel)] } else { self.jobs_of(kernel, &name, report) };
        if jobs.is_empty() {
            return Ok(());
        }
        let files = kernel.files(self.vm.update)?;
        let logs = root::workspace().join("target/vm").join(&name);
        std::fs::create_dir_all(&logs)?;
        let image = self.image(&name, &files, &jobs, &logs.join("initrd"))?;
        let limit = jobs.iter().map(Job::limit).sum::<Duration>();
        let boot = Boot {
            kernel: &files.image,
            image: &image,
            lsm: self.vm.lsm,
            arguments: &self.vm.kernel_args,
            logs: &logs,
            limit,
        };
        eprintln!("{name}: Linux {}, {}", files.version, boot.command_line());
        if self.vm.shell {
            return boot.interact();
        }
        let began = Instant::now();
        let heard = boot.run(|heard, word| self.listen(&name, heard, word))?;
        self.judge(&name, &jobs, &heard, report);
        if !heard.done {
            report.problem(&name, "the machine did not come to its end", &boot.kernels_last_words());
        }
        eprintln!("{name}: off after {:.0} s; {}", began.elapsed().as_secs_f64(), boot.console().display());
        Ok(())
    }

    /// The jobs of a machine. A suite of which no case can pass there is not tried, unless all is asked for: refusing a
    /// program can take the verifier minutes.
    fn jobs_of(&self, kernel: Kernel, name: &str, report: &mut Report) -> Vec<Job> {
        let cases = self.vm.cases();
        let mut jobs: Vec<Job> = self.suites.iter().map(|suite| suite.job(&cases, kernel)).collect();
        if self.vm.all {
            return jobs;
        }
        jobs.retain(|job| {
            let whole = self.skips.whole(name, &job.name);
            if let Some(skip) = whole {
                let verdict = Verdict {
                    expected: vec![(skip.case.clone(), skip.reason.clone())],
                    ..Verdict::default()
                };
                let (machine, suite) = (name.to_owned(), job.name.clone());
                report.rows.push(Row { machine, suite, seconds: 0.0, verdict });
            }
            whole.is_none()
        });
        jobs
    }

    fn image(&self, name: &str, files: &Files, jobs: &[Job], path: &Path) -> Result<PathBuf> {
        let modules = Modules::collect(&files.modules)?;
        if !modules.lacking.is_empty() {
            eprintln!("{name}: this kernel lacks {}", modules.lacking.join(", "));
        }
        self.contents.write(path, &modules, Orders { modules: Vec::new(), jobs: jobs.to_vec() })?;
        Ok(path.to_owned())
    }

    /// A line a suite while it runs, or everything.
    fn listen(&self, name: &str, heard: &Heard, word: Option<&Word>) {
        match word {
            Some(Word::Begin { job }) => eprintln!("{name}: {job} …"),
            Some(Word::Up { release, lsm }) => eprintln!("{name}: {release} is up, lsm={lsm}"),
            Some(Word::Module { path, error }) => eprintln!("{name}: {path} does not load: {error}"),
            Some(Word::End { job, end, seconds }) => eprintln!("{name}: {job} took {seconds:.0} s: {end}"),
            Some(Word::Broken { error }) => eprintln!("{name}: {error}"),
            Some(Word::Done) => {}
            None if self.vm.verbose => {
                let line = heard.jobs.last().and_then(|job| job.lines.last());
                println!("{}", line.map_or("", String::as_str));
            }
            None => {}
        }
    }

    fn judge(&mut self, name: &str, jobs: &[Job], heard: &Heard, report: &mut Report) {
        for (path, error) in &heard.modules {
            report.problem(name, "a module did not load", &format!("{path}: {error}"));
        }
        if let Some(error) = &heard.broken {
            report.problem(name, "its orders were not carried out", error);
        }
        for job in jobs {
            let Some(heard) = heard.jobs.iter().find(|heard| heard.name == job.name) else {
                report.problem(name, "did not run", &job.name);
                continue;
            };
            let verdict = if job.name == suite::COST {
                if self.vm.write_budget {
                    self.budget.learn(kernel_of(name), heard);
                }
                self.budget.judge(kernel_of(name), heard)
            } else {
                Verdict::of(heard, &self.skips.of(name, &job.name), &self.vm.cases())
            };
            let seconds = heard.ended.as_ref().map_or(0.0, |(_, seconds)| *seconds);
            report.rows.push(Row { machine: name.to_owned(), suite: job.name.clone(), seconds, verdict });
        }
    }
}
