//! The part of a snapshot that the helper thread has: it writes the file.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::persist::snapshot::Piece;
use crate::persist::snapshot::file::{Plan, SaveError, SnapshotFile};

/// Bytes of memory that a job writes; it takes another piece before it has come to them.
const JOB_BYTES: usize = 256 << 10;

/// What a job of the helper thread has done for a snapshot.
#[derive(Debug)]
pub struct Done {
    /// Bytes of memory of the pieces that it took.
    pub piece_bytes: usize,
    /// What came of it.
    pub wrote: Wrote,
}

/// What came of writing pieces.
#[derive(Debug)]
pub enum Wrote {
    /// It is written, or dropped if the file was given up; more follow.
    More,
    /// It was the last: the file has so many bytes, and its name.
    Finished(u64),
    /// It could not be written, and the file is gone.
    Failed(SaveError),
}

/// What the loop shares with the jobs. The loop locks `pieces`, which is never held for long; `file` it locks only where it has
/// to wait for the disk.
#[derive(Debug)]
pub(super) struct Shared {
    plan: Plan,
    pieces: Mutex<VecDeque<Piece>>,
    file: Mutex<FileState>,
    is_cancelled: AtomicBool,
}

#[derive(Debug)]
enum FileState {
    /// No job has come to it yet.
    Unmade,
    /// It is being written. The open file is the helper thread's.
    Open(Box<SnapshotFile>),
    /// It is whole, or gone.
    Over,
}

/// Whoever panicked with the lock has been reported.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn new(plan: Plan) -> Shared {
        Shared {
            plan,
            pieces: Mutex::default(),
            file: Mutex::new(FileState::Unmade),
            is_cancelled: AtomicBool::new(false),
        }
    }

    /// Hands over a piece, for one more job to write.
    pub fn push(&self, piece: Piece) {
        lock(&self.pieces).push_back(piece);
    }

    /// The next job removes the file, and the others find nothing to do.
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::SeqCst);
    }

    /// Waits for the job that is at work. After [`Shared::cancel`] the file gets its name no more once this has returned.
    pub fn wait(&self) {
        drop(lock(&self.file));
    }

    /// The job: takes the next pieces and writes them.
    pub fn run(&self) -> Done {
        let mut file = lock(&self.file);
        let mut done = Done { piece_bytes: 0, wrote: Wrote::More };
        while done.piece_bytes < JOB_BYTES && matches!(done.wrote, Wrote::More) {
            let Some(piece) = lock(&self.pieces).pop_front() else { break };
            done.piece_bytes += piece.bytes();
            if !self.is_cancelled() {
                done.wrote = self.write(&mut file, piece).unwrap_or_else(|error| {
                    close(&mut file);
                    Wrote::Failed(error)
                });
            }
        }
        if self.is_cancelled() {
            close(&mut file);
        }
        done
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::SeqCst)
    }

    fn write(&self, file: &mut FileState, piece: Piece) -> Result<Wrote, SaveError> {
        if matches!(file, FileState::Unmade) {
            *file = FileState::Open(Box::new(SnapshotFile::create(&self.plan)?));
        }
        // What comes behind a failure is dropped.
        let FileState::Open(open) = file else { return Ok(Wrote::More) };
        let is_last = matches!(piece, Piece::End(_));
        open.write(piece)?;
        match std::mem::replace(file, FileState::Over) {
            FileState::Open(open) if is_last => open.finish().map(Wrote::Finished),
            state => {
                *file = state;
                Ok(Wrote::More)
            }
        }
    }
}

fn close(file: &mut FileState) {
    if let FileState::Open(open) = std::mem::replace(file, FileState::Over) {
        open.abandon();
    }
}
