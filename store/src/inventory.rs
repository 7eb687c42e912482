//! How much a store consists of: for who watches its growth.

use crate::error::Result;
use crate::log::LogKind;
use crate::log::logs::logs_of_page;
use crate::store::Store;

/// Files of a store, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Folders of days that have something.
    pub pages: u64,
    /// Journals, packed ones included.
    pub journals: u64,
}

impl Store {
    /// Counts pages and journals: reads the names in one folder a page, and no file.
    pub fn inventory(&self) -> Result<Inventory> {
        let pages = self.derived.pages.all()?;
        let mut inventory = Inventory { pages: pages.len() as u64, journals: 0 };
        for page in pages {
            let logs = logs_of_page(self.derived.pages.disk(), self.derived.pages.root(), page)?;
            inventory.journals += logs.iter().filter(|log| log.kind == LogKind::Journal).count() as u64;
        }
        Ok(inventory)
    }
}
