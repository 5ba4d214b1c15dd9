#pragma once

namespace kgents::gateway {

/// Thrown by `interrupts::check`: somebody asked the program to stop before it served.
struct interrupted {};

/// Notes SIGINT and SIGTERM while it lives, so that a start that takes seconds ends in order;
/// restores their default when it goes. One at a time, on the main thread.
class interrupts {
public:
  interrupts();
  ~interrupts();
  interrupts(const interrupts&) = delete;
  interrupts& operator=(const interrupts&) = delete;

  /// Throws `interrupted` once a signal has come. Loops that wait call it.
  static void check();
};

}  // namespace kgents::gateway
