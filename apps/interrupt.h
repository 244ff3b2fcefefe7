// Ctrl-C as a flag that loops look at: the handlers do nothing but count.
#pragma once

namespace minke::apps {

/// While one lives, SIGINT is counted instead of ending the program, and a change of the terminal's
/// size or a return from the background is noted. One at a time.
class SignalWatch {
 public:
  SignalWatch();
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  /// Interrupts since the last clear_interrupts().
  static int interrupts() noexcept;
  static void clear_interrupts() noexcept;
  /// True once after the terminal changed or the program came back from the background.
  static bool take_terminal_change() noexcept;
};

/// A StepWatch: stops a step after an interrupt.
inline bool go_on_until_interrupt(double /*part_done*/) noexcept {
  return SignalWatch::interrupts() == 0;
}

}  // namespace minke::apps
