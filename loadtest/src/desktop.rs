//! A customer's desktop: Xvfb, a window manager, and real programs with real text.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::process::{self, Process};

/// A running desktop. Dropping it ends its programs.
#[derive(Debug)]
pub struct Desktop {
    display: String,
    // Programs end before the server does: fields drop in this order.
    programs: Vec<Process>,
    server: Child,
    folder: PathBuf,
}

impl Desktop {
    /// Starts an X server of `width` × `height` pixels on a free display, with a window manager.
    ///
    /// # Errors
    /// When Xvfb or openbox are missing or do not start within 20 s.
    pub async fn start(width: u16, height: u16, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder.join("config/gtk-3.0"))?;
        // A blinking caret would never let the screen rest.
        std::fs::write(folder.join("config/gtk-3.0/settings.ini"), "[Settings]\ngtk-cursor-blink=0\n")?;
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-dpi", "96", "-screen", "0"])
            .arg(format!("{width}x{height}x24"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start Xvfb")?;
        let output = server.stdout.take().context("no output of Xvfb")?;
        let number = timeout(Duration::from_secs(20), BufReader::new(output).lines().next_line())
            .await
            .context("Xvfb did not start within 20 s")??
            .context("Xvfb ended at once")?;
        let mut desktop =
            Self { display: format!(":{}", number.trim()), programs: Vec::new(), server, folder: folder.to_owned() };
        desktop.open("openbox", &["--sm-disable"])?;
        desktop.wait_for_manager().await?;
        desktop.run("xsetroot", &["-solid", "#4f6d7a"]).await?;
        Ok(desktop)
    }

    /// Waits for the window manager: a window that is shown while it starts may stay invisible.
    async fn wait_for_manager(&self) -> Result<()> {
        for _ in 0..200 {
            let check = self.run("xprop", &["-root", "_NET_SUPPORTING_WM_CHECK"]).await;
            if check.is_ok_and(|said| said.contains("window id")) {
                return Ok(());
            }
            pause(Duration::from_millis(50)).await;
        }
        bail!("openbox did not start within 10 s")
    }

    /// The display's name, such as `:7`.
    pub fn display(&self) -> &str {
        &self.display
    }

    /// Opens a program on the desktop.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn open(&mut self, program: &str, args: &[&str]) -> Result<()> {
        let mut command = Command::new(program);
        command.args(args);
        self.dress(&mut command);
        let name = format!("desktop-{}-{program}", self.programs.len());
        self.programs.push(Process::start(&name, command, &self.folder)?);
        Ok(())
    }

    /// Runs a program on the desktop to its end and returns its output.
    ///
    /// # Errors
    /// When it fails or takes more than 20 s.
    pub async fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).kill_on_drop(true);
        self.dress(&mut command);
        let output = timeout(Duration::from_secs(20), command.output())
            .await
            .with_context(|| format!("{program} did not end within 20 s"))?
            .with_context(|| format!("cannot start {program}"))?;
        if !output.status.success() {
            bail!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits until a window with this text in its title is there and places it.
    ///
    /// # Errors
    /// When there is none within 20 s.
    pub async fn place(&mut self, title: &str, place: [u16; 4]) -> Result<()> {
        let [x, y, width, height] = place.map(|number| number.to_string());
        let deadline = Instant::now() + Duration::from_secs(20);
        let window = loop {
            let found = self.run("xdotool", &["search", "--onlyvisible", "--name", title]).await;
            if let Some(window) = found.ok().and_then(|text| text.lines().next().map(str::to_owned)) {
                break window;
            }
            if deadline < Instant::now() {
                let windows = self.run("xdotool", &["search", "--name", "", "getwindowname", "%@"]).await;
                let ended: Vec<_> = self.programs.iter_mut().filter_map(|p| p.check_alive().err()).collect();
                bail!("no window called {title} came up within 20 s; windows: {windows:?}; ended: {ended:?}");
            }
            pause(Duration::from_millis(100)).await;
        };
        self.run("xdotool", &["windowsize", "--sync", &window, &width, &height]).await?;
        self.run("xdotool", &["windowmove", "--sync", &window, &x, &y]).await?;
        self.run("xdotool", &["windowraise", &window]).await?;
        Ok(())
    }

    /// Takes a picture of the whole screen from the X server, by a program that is not ours, without the pointer.
    ///
    /// # Errors
    /// When `import` fails.
    pub async fn screenshot(&self, file: &Path) -> Result<()> {
        let target = format!("png24:{}", file.display());
        self.run("import", &["-silent", "-window", "root", &target]).await?;
        Ok(())
    }

    /// Waits until two pictures of the screen, 300 ms apart, are equal.
    ///
    /// # Errors
    /// When the screen does not rest within 20 s.
    pub async fn settle(&self) -> Result<()> {
        let (old, new) = (self.folder.join("settle-old.png"), self.folder.join("settle-new.png"));
        self.screenshot(&old).await?;
        for _ in 0..60 {
            pause(Duration::from_millis(300)).await;
            self.screenshot(&new).await?;
            if crate::picture::read(&old)? == crate::picture::read(&new)? {
                return Ok(());
            }
            std::fs::rename(&new, &old)?;
        }
        bail!("the desktop does not come to rest")
    }

    /// Waits until the window with this text in its title has the keyboard.
    ///
    /// # Errors
    /// When it has not within 10 s.
    pub async fn wait_for_focus(&self, title: &str) -> Result<()> {
        for _ in 0..100 {
            let focused = self.run("xdotool", &["getwindowfocus", "getwindowname"]).await;
            if focused.is_ok_and(|name| name.contains(title)) {
                return Ok(());
            }
            pause(Duration::from_millis(100)).await;
        }
        bail!("the window {title} did not get the keyboard within 10 s")
    }

    /// Ends all programs and the server.
    ///
    /// # Errors
    /// When waiting fails.
    pub async fn stop(mut self) -> Result<()> {
        for program in self.programs.drain(..).rev() {
            program.stop(Duration::from_secs(2)).await?;
        }
        process::signal_pid(self.server.id().unwrap_or(0), rustix::process::Signal::TERM);
        if timeout(Duration::from_secs(5), self.server.wait()).await.is_err() {
            self.server.kill().await?;
        }
        Ok(())
    }

    /// Leaves everything running; the process ids, the server's last.
    pub fn leave_running(self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.programs.into_iter().map(Process::leave_running).collect();
        ids.extend(self.server.id());
        #[expect(clippy::mem_forget, reason = "the X server shall outlive this program")]
        std::mem::forget(self.server);
        ids
    }

    fn dress(&self, command: &mut Command) {
        command
            .env("DISPLAY", &self.display)
            .env("LANG", "C.UTF-8")
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", &self.folder)
            .env("XDG_CONFIG_HOME", self.folder.join("config"))
            .env("NO_AT_BRIDGE", "1")
            .env_remove("WAYLAND_DISPLAY")
            .env_remove("XAUTHORITY");
    }
}

/// A wait on a program that offers no event to wait for.
pub async fn pause(time: Duration) {
    sleep(time).await;
}
