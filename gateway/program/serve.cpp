#include "gateway/program/serve.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <exception>
#include <iostream>
#include <memory>
#include <optional>

#include "gateway/program/child.hpp"
#include "gateway/program/running_node.hpp"
#include "runtime/telemetry/log.hpp"
#include "sql/self_check.hpp"

namespace kgents::gateway {

namespace {

/// What must hold before anything is served; says what is wrong on standard error.
std::optional<int> refuse_start(const runtime::settings& config) {
  const auto found =
      sql::self_check({.database_url = config.database_url.reveal(),
                       .control_url = config.control_url.reveal(),
                       .production = config.env == runtime::environment::production,
                       .allow_privileged = config.env == runtime::environment::test});
  for (const auto& x : found.problems)
    std::cerr << "kgentsd: " << x << std::endl;
  if (found.problems.empty())
    return std::nullopt;
  return exit_unavailable;
}

/// The signals that end or reload a node, on the calling thread.
class signal_loop {
public:
  signal_loop(running_node& node, std::chrono::milliseconds drain)
      : node_{node}, drain_{drain}, signals_{loop_, SIGTERM, SIGINT, SIGHUP}, timer_{loop_} {}

  void run() {
    wait();
    loop_.run();
  }

private:
  void wait() {
    signals_.async_wait([this](boost::system::error_code ec, int number) {
      if (ec)
        return;
      if (number == SIGHUP) {
        const auto wrong = node_.reload();
        if (wrong.empty())
          log::info("reloaded");
        else
          log::error("reload failed; the old certificate stays", {{"error", wrong}});
      } else if (draining_) {
        log::warn("stopping at once");
        loop_.stop();
        return;
      } else {
        begin_drain();
      }
      wait();
    });
  }

  void begin_drain() {
    draining_ = true;
    log::info("draining", {{"seconds", drain_.count() / 1000}});
    node_.begin_drain();
    until_ = std::chrono::steady_clock::now() + drain_;
    look();
  }

  /// Until the running answers are complete, or the deadline: what runs then is continued at the
  /// next start.
  void look() {
    if (!node_.busy() || std::chrono::steady_clock::now() >= until_) {
      node_.end_drain();
      timer_.expires_after(last_words_);
      timer_.async_wait([this](boost::system::error_code) { loop_.stop(); });
      return;
    }
    timer_.expires_after(look_every_);
    timer_.async_wait([this](boost::system::error_code ec) {
      if (!ec)
        look();
    });
  }

  static constexpr std::chrono::milliseconds look_every_{20};
  /// For the last events and `reconnect` to leave.
  static constexpr std::chrono::milliseconds last_words_{100};

  running_node& node_;
  const std::chrono::milliseconds drain_;
  boost::asio::io_context loop_{1};
  boost::asio::signal_set signals_;
  boost::asio::steady_timer timer_;
  std::chrono::steady_clock::time_point until_{};
  bool draining_ = false;
};

}  // namespace

int serve(const runtime::settings& config) {
  try {
    if (const auto status = refuse_start(config))
      return *status;
    std::unique_ptr<running_node> node;
    try {
      node = std::make_unique<running_node>(config);
    } catch (const std::exception& wrong) {
      std::cerr << "kgentsd: " << wrong.what() << std::endl;
      return exit_unavailable;
    }
    node->recover();
    signal_loop signals{*node, config.drain};
    const auto host =
        config.host.find(':') == std::string::npos ? config.host : "[" + config.host + "]";
    std::cout << "kgentsd ready http" << (config.tls_cert.empty() ? "" : "s") << "://" << host
              << ':' << node->port() << " node=" << config.node_name << std::endl;
    signals.run();
    node.reset();
    log::info("stopped");
    return exit_ok;
  } catch (const std::exception& wrong) {
    log::error("internal failure", {{"error", wrong.what()}});
    return exit_internal;
  }
}

}  // namespace kgents::gateway
