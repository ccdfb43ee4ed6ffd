//! The walks over all processes: programs that are not hung on anything, but run when somebody reads.

use aya::programs::{Iter, ProgramError};
use aya::{Btf, Ebpf};

use super::error::KernelError;

/// Program, and what it walks over.
pub(super) const WALKS: [(&str, &str); 2] = [("walk_files", "task_file"), ("walk_mappings", "task_vma")];

/// Loads both.
pub(super) fn load(object: &mut Ebpf) -> Result<(), KernelError> {
    let btf = Btf::from_sys_fs().map_err(KernelError::types)?;
    for (name, over) in WALKS {
        let fail = |error: ProgramError| KernelError::Program { program: name, error: Box::new(error) };
        let program = object.program_mut(name).ok_or(KernelError::Missing(name))?;
        let program: &mut Iter = program.try_into().map_err(fail)?;
        program.load(over, &btf).map_err(fail)?;
    }
    Ok(())
}
