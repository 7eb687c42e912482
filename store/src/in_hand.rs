//! Locks of the process, as the standard library has them, that count how many of them a thread holds.
//!
//! Whoever holds one has something in hand that others wait for, or that is half done. A thread that is ended by a signal in the
//! middle of that takes the process with it: nobody would ever release the lock, and nobody can tell what state it protects. One that
//! holds none can end alone. `handler` asks [`depth`] when that happens; the store and the handler use these locks and no others.
//!
//! The number is a word of the thread's own storage without destructor: reading it in a signal handler neither allocates nor locks.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult, WaitTimeoutResult};
use std::time::Duration;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// How many locks the calling thread holds.
pub fn depth() -> u32 {
    DEPTH.get()
}

/// Counts a lock while it lives.
#[derive(Debug)]
struct Mark;

impl Mark {
    /// Before the lock is taken: a thread that ends between the two has one too many, which is the careful error.
    fn new() -> Mark {
        DEPTH.set(DEPTH.get() + 1);
        Mark
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// [`std::sync::Mutex`], counted.
#[derive(Debug, Default)]
pub struct Mutex<T: ?Sized>(std::sync::Mutex<T>);

/// Access to what a [`Mutex`] protects.
#[derive(Debug)]
pub struct MutexGuard<'a, T: ?Sized> {
    // The lock is released before it is not counted any more.
    guard: std::sync::MutexGuard<'a, T>,
    mark: Mark,
}

impl<T> Mutex<T> {
    /// Not locked.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex(std::sync::Mutex::new(value))
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock.
    ///
    /// # Errors
    /// A thread panicked while it had it.
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let mark = Mark::new();
        match self.0.lock() {
            Ok(guard) => Ok(MutexGuard { guard, mark }),
            Err(poisoned) => Err(PoisonError::new(MutexGuard { guard: poisoned.into_inner(), mark })),
        }
    }

    /// Takes the lock if it is free.
    ///
    /// # Errors
    /// It is not, or a thread panicked while it had it.
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        let mark = Mark::new();
        match self.0.try_lock() {
            Ok(guard) => Ok(MutexGuard { guard, mark }),
            Err(TryLockError::WouldBlock) => Err(TryLockError::WouldBlock),
            Err(TryLockError::Poisoned(poisoned)) => {
                let guard = MutexGuard { guard: poisoned.into_inner(), mark };
                Err(TryLockError::Poisoned(PoisonError::new(guard)))
            }
        }
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// [`std::sync::RwLock`], counted.
#[derive(Debug, Default)]
pub struct RwLock<T: ?Sized>(std::sync::RwLock<T>);

/// Access to read what a [`RwLock`] protects.
#[derive(Debug)]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    guard: std::sync::RwLockReadGuard<'a, T>,
    _mark: Mark,
}

/// Access to write what a [`RwLock`] protects.
#[derive(Debug)]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    guard: std::sync::RwLockWriteGuard<'a, T>,
    _mark: Mark,
}

impl<T> RwLock<T> {
    /// Not locked.
    pub const fn new(value: T) -> RwLock<T> {
        RwLock(std::sync::RwLock::new(value))
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Needs no lock: nobody else can have it.
    ///
    /// # Errors
    /// A thread panicked while it wrote.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.0.get_mut()
    }

    /// Waits for the lock, to read.
    ///
    /// # Errors
    /// A thread panicked while it wrote.
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        let _mark = Mark::new();
        match self.0.read() {
            Ok(guard) => Ok(RwLockReadGuard { guard, _mark }),
            Err(poisoned) => Err(PoisonError::new(RwLockReadGuard { guard: poisoned.into_inner(), _mark })),
        }
    }

    /// Takes the lock to read, if that needs no waiting.
    ///
    /// # Errors
    /// It would have to wait, or a thread panicked while it wrote.
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        let _mark = Mark::new();
        match self.0.try_read() {
            Ok(guard) => Ok(RwLockReadGuard { guard, _mark }),
            Err(TryLockError::WouldBlock) => Err(TryLockError::WouldBlock),
            Err(TryLockError::Poisoned(poisoned)) => {
                Err(PoisonError::new(RwLockReadGuard { guard: poisoned.into_inner(), _mark }).into())
            }
        }
    }

    /// Waits for the lock, to write.
    ///
    /// # Errors
    /// A thread panicked while it wrote.
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        let _mark = Mark::new();
        match self.0.write() {
            Ok(guard) => Ok(RwLockWriteGuard { guard, _mark }),
            Err(poisoned) => Err(PoisonError::new(RwLockWriteGuard { guard: poisoned.into_inner(), _mark })),
        }
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// [`std::sync::Condvar`] for these locks. A thread that waits counts as one that holds the lock.
#[derive(Debug, Default)]
pub struct Condvar(std::sync::Condvar);

impl Condvar {
    /// Nobody waits.
    pub const fn new() -> Condvar {
        Condvar(std::sync::Condvar::new())
    }

    /// Wakes one that waits.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all that wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits to be woken.
    ///
    /// # Errors
    /// A thread panicked while it had the lock.
    pub fn wait<'a, T>(&self, held: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        let MutexGuard { guard, mark } = held;
        match self.0.wait(guard) {
            Ok(guard) => Ok(MutexGuard { guard, mark }),
            Err(poisoned) => Err(PoisonError::new(MutexGuard { guard: poisoned.into_inner(), mark })),
        }
    }

    /// Waits as long as `condition` holds.
    ///
    /// # Errors
    /// A thread panicked while it had the lock.
    pub fn wait_while<'a, T>(
        &self,
        held: MutexGuard<'a, T>,
        condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        let MutexGuard { guard, mark } = held;
        match self.0.wait_while(guard, condition) {
            Ok(guard) => Ok(MutexGuard { guard, mark }),
            Err(poisoned) => Err(PoisonError::new(MutexGuard { guard: poisoned.into_inner(), mark })),
        }
    }

    /// Waits as long as `condition` holds, at most for `at_most`.
    ///
    /// # Errors
    /// A thread panicked while it had the lock.
    pub fn wait_timeout_while<'a, T>(
        &self,
        held: MutexGuard<'a, T>,
        at_most: Duration,
        condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let MutexGuard { guard, mark } = held;
        match self.0.wait_timeout_while(guard, at_most, condition) {
            Ok((guard, waited)) => Ok((MutexGuard { guard, mark }, waited)),
            Err(poisoned) => {
                let (guard, waited) = poisoned.into_inner();
                Err(PoisonError::new((MutexGuard { guard, mark }, waited)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_holds_is_counted_for_itself_alone() {
        let (mutex, lock, woken) = (Mutex::new(1), RwLock::new(2), Condvar::new());
        assert_eq!(depth(), 0);
        let first = mutex.lock().expect("free");
        let (second, third) = (lock.read().expect("free"), lock.read().expect("shared"));
        assert_eq!((depth(), *first + *second + *third), (3, 5));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(depth(), 0);
                assert!(mutex.try_lock().is_err());
                assert_eq!(depth(), 0, "what was not taken is not held");
            });
        });
        let (first, _) = woken.wait_timeout_while(first, Duration::from_millis(1), |_| true).expect("held");
        drop((second, third));
        assert_eq!(depth(), 1);
        drop(first);
        *lock.write().expect("free") += 1;
        assert_eq!(depth(), 0);
    }

    #[test]
    fn a_panic_leaves_nothing_counted() {
        let mutex = Mutex::new(0);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _held = mutex.lock();
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        assert_eq!(depth(), 0);
        assert!(mutex.lock().is_err(), "poisoned, as in the standard library");
    }
}
