//! Company code, id, password; and the code of the second factor, for who has one.

use desk::look::{self, widget};
use egui::{Key, RichText, TextEdit, Ui};
use proto::api::login::LoginRequest;
use zeroize::Zeroize as _;

use super::{Scene, left, lone};
use crate::{app::event::Wish, login::Remembered};

/// Longest of the four, in characters.
const LEN_MAX: usize = 128;
/// Width of the form.
const WIDTH: f32 = 460.0;

/// What is typed.
pub(super) struct Form {
    company: String,
    user: String,
    password: String,
    code: String,
    focused: bool,
}

impl Form {
    pub(super) fn new(remembered: Remembered) -> Self {
        let Remembered { company, user } = remembered;
        Self { company, user, password: String::new(), code: String::new(), focused: false }
    }

    pub(super) fn remembered(&self) -> Remembered {
        Remembered { company: self.company.trim().to_owned(), user: self.user.trim().to_owned() }
    }

    pub(super) fn show(&mut self, ui: &mut Ui, scene: &Scene<'_>, wishes: &mut Vec<Wish>) {
        ui.vertical_centered(|ui| {
            ui.set_max_width(WIDTH);
            ui.add_space(look::GAP_LARGE);
            left::show(ui, scene, wishes);
            widget::card(ui, |ui| self.fields(ui, scene, wishes));
        });
    }

    fn fields(&mut self, ui: &mut Ui, scene: &Scene<'_>, wishes: &mut Vec<Wish>) {
        ui.with_layout(egui::Layout::top_down(egui::Align::Min), |ui| {
            widget::heading(ui, &scene.say("login.title"));
            ui.add_space(look::GAP);
            let company = field(ui, &scene.say("login.company"), &mut self.company, false);
            let user = field(ui, &scene.say("login.user"), &mut self.user, false);
            let password = field(ui, &scene.say("login.password"), &mut self.password, true);
            let code = field(ui, &scene.say("login.code"), &mut self.code, false);
            self.focus_once(&company, &user, &password);
            ui.add_space(look::GAP_LARGE);
            let complete = !self.company.trim().is_empty() && !self.user.trim().is_empty() && !self.password.is_empty();
            let busy = scene.app.logging_in;
            let caption = if busy { scene.say("login.busy") } else { scene.say("login.go") };
            let pressed =
                ui.add_enabled_ui(complete && !busy, |ui| lone(ui, widget::primary, &caption).clicked()).inner;
            let entered =
                (password.lost_focus() || code.lost_focus()) && ui.input(|input| input.key_pressed(Key::Enter));
            if complete && !busy && (pressed || entered) {
                wishes.push(Wish::Login(LoginRequest {
                    company: self.company.trim().to_owned(),
                    user: self.user.trim().to_owned(),
                    password: self.password.clone(),
                    code: Some(self.code.trim().to_owned()).filter(|code| !code.is_empty()),
                }));
                self.password.zeroize();
                self.code.zeroize();
            }
            ui.add_space(look::GAP);
            widget::explain(ui, &scene.say("login.hint"));
        });
    }

    /// Puts the cursor into the first field that is empty, once.
    fn focus_once(&mut self, company: &egui::Response, user: &egui::Response, password: &egui::Response) {
        if self.focused {
            return;
        }
        self.focused = true;
        if self.company.is_empty() {
            company.request_focus();
        } else if self.user.is_empty() {
            user.request_focus();
        } else {
            password.request_focus();
        }
    }
}

fn field(ui: &mut Ui, caption: &str, value: &mut String, hidden: bool) -> egui::Response {
    ui.add_space(look::GAP);
    let label = ui.label(RichText::new(caption));
    ui.add(
        TextEdit::singleline(value)
            .password(hidden)
            .char_limit(LEN_MAX)
            .margin(egui::Margin::symmetric(12, 10))
            .desired_width(f32::INFINITY),
    )
    .labelled_by(label.id)
}
