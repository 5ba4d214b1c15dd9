#include "gateway/program/interrupts.hpp"

#include <signal.h>

#include <initializer_list>

namespace kgents::gateway {

namespace {

volatile sig_atomic_t asked = 0;  // all that a signal handler may touch

void note(int) { asked = 1; }

void handle_with(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  for (int number : {SIGINT, SIGTERM})
    ::sigaction(number, &action, nullptr);
}

}  // namespace

interrupts::interrupts() { handle_with(note); }
interrupts::~interrupts() { handle_with(SIG_DFL); }

void interrupts::check() {
  if (asked != 0)
    throw interrupted{};
}

}  // namespace kgents::gateway
