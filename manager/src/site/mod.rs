//! The management site: what every page shares.
//!
//! Pages are made on the server and work without a script; scripts only make them quicker. Guarantees: a page is in one
//! language as a whole; every form carries a token of its login and comes from this site, or it is refused; nothing is
//! loaded from elsewhere, and no script stands in a page; what anybody typed is shown as text.
//! The pages themselves are in their slices (`page.rs`), their HTML in `templates/`, their words in `text/`.

pub mod assets;
pub mod cookie;
pub mod download;
pub mod form;
pub mod frame;
pub mod lang;
pub mod problem;
pub mod router;
pub mod time;
pub mod upload;
pub mod words;

mod top;

pub use self::{
    form::Form,
    frame::{Frame, Here},
    lang::Lang,
    problem::{PageResult, Problem},
    router::router,
    upload::Upload,
    words::Words,
};
