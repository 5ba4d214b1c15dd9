#pragma once

#include <ostream>
#include <string>
#include <string_view>

#include "runtime/settings.hpp"

namespace kgents::gateway {

/// The lines of `kgentsd check`, and whether one that matters failed.
class check_report {
public:
  explicit check_report(std::ostream& out) : out_{out} {}

  void ok(std::string_view what, std::string_view text) { line("ok", what, text); }
  void unset(std::string_view what, std::string_view text) { line("-", what, text); }
  void failed(std::string_view what, std::string_view text) {
    line("FAILED", what, text);
    any_failed_ = true;
  }
  /// The server works without it.
  void degraded(std::string_view what, std::string_view text) { line("degraded", what, text); }

  [[nodiscard]] bool any_failed() const noexcept { return any_failed_; }

private:
  void line(std::string_view verdict, std::string_view what, std::string_view text) {
    std::string padded{verdict};
    padded.resize(10, ' ');
    out_ << padded << what << ": " << text << '\n';
  }

  std::ostream& out_;
  bool any_failed_ = false;
};

/// A line for each service beside the server: NATS, Redis, OpenMeter, Stripe, Qdrant. None of them
/// is needed to answer a request, so none fails the check.
void check_services(const runtime::settings& config, check_report& out);

/// "" when a TCP connection to the URL's host comes about.
[[nodiscard]] std::string unreachable(const std::string& url);

}  // namespace kgents::gateway
