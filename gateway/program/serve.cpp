#include "gateway/program/serve.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <exception>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>

#include "gateway/program/child.hpp"
#include "gateway/program/running_node.hpp"
#include "runtime/cluster/tls.hpp"
#include "runtime/telemetry/log.hpp"
#include "sql/self_check.hpp"

namespace kgents::gateway {

namespace {

/// Whether the certificates of the peer link are good; they are loaded again for the link itself.
std::optional<int> refuse_certificates(const runtime::settings& config) {
  if (config.cluster_tls_cert.empty())
    return std::nullopt;
  try {
    const runtime::cluster::tls_identity good{config.cluster_tls_ca, config.cluster_tls_cert,
                                              config.cluster_tls_key};
    return std::nullopt;
  } catch (const std::exception& wrong) {
    std::cerr << "kgentsd: KGENTS_CLUSTER_TLS_*: " << wrong.what() << std::endl;
    return exit_usage;
  }
}

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
  explicit signal_loop(std::chrono::milliseconds drain)
      : drain_{drain}, signals_{loop_, SIGTERM, SIGINT, SIGHUP}, timer_{loop_} {
    wait();
  }

  /// Until a signal, or `stop`; the exit status.
  int run(running_node& node) {
    node_ = &node;
    loop_.run();
    return status_;
  }

  /// From any thread.
  void post(std::function<void()> work) { boost::asio::post(loop_, std::move(work)); }
  void stop(int status) {
    post([this, status] {
      status_ = status;
      loop_.stop();
    });
  }

private:
  void wait() {
    signals_.async_wait([this](boost::system::error_code ec, int number) {
      if (ec)
        return;
      if (number == SIGHUP) {
        const auto wrong = node_->reload();
        if (wrong.empty())
          log::info("reloaded");
        else
          log::error("reload failed; the old certificates stay", {{"error", wrong}});
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
    node_->begin_drain();
    began_ = std::chrono::steady_clock::now();
    look();
  }

  /// Until the running answers are complete, or the deadline: what runs then is continued by
  /// another node, or at the next start.
  void look() {
    const auto now = std::chrono::steady_clock::now();
    const bool shared = node_->shares_work();
    // Nobody needs to wait here for the end of a long answer when others can go on with it.
    const auto until = began_ + (shared ? std::min(drain_, answers_within_) : drain_);
    if (!node_->busy() || now >= until) {
      node_->end_drain();
      timer_.expires_after(last_words_);
      timer_.async_wait([this](boost::system::error_code) { loop_.stop(); });
      return;
    }
    if (shared)
      node_->send_away(std::chrono::duration<double>(now - began_) / away_within_);
    timer_.expires_after(look_every_);
    timer_.async_wait([this](boost::system::error_code ec) {
      if (!ec)
        look();
    });
  }

  static constexpr std::chrono::milliseconds look_every_{20};
  /// For the last events and `reconnect` to leave.
  static constexpr std::chrono::milliseconds last_words_{100};
  /// Answers that run longer are continued elsewhere, when there is an elsewhere (operations.md
  /// section 12 gives the whole shutdown 30 s).
  static constexpr std::chrono::milliseconds answers_within_{10'000};
  /// Over this time the streams are asked to come back to other nodes.
  static constexpr std::chrono::duration<double> away_within_{2.0};

  running_node* node_ = nullptr;
  const std::chrono::milliseconds drain_;
  boost::asio::io_context loop_{1};
  boost::asio::signal_set signals_;
  boost::asio::steady_timer timer_;
  std::chrono::steady_clock::time_point began_{};
  int status_ = exit_ok;
  bool draining_ = false;
};

}  // namespace

int serve(const runtime::settings& config) {
  try {
    if (const auto status = refuse_certificates(config))
      return *status;
    if (const auto status = refuse_start(config))
      return *status;
    signal_loop signals{config.drain};
    std::unique_ptr<running_node> node;
    // Printed on the loop, which runs once `node` is set.
    const auto ready = [&] {
      const auto host =
          config.host.find(':') == std::string::npos ? config.host : "[" + config.host + "]";
      std::cout << "kgentsd ready http" << (config.tls_cert.empty() ? "" : "s") << "://" << host
                << ':' << node->port() << " node=" << config.node_name << std::endl;
    };
    const auto replaced = [&](const std::string& why) {
      log::error("stopping: another process has this node's name; give each its own "
                 "KGENTS_NODE_NAME",
                 {{"why", why}, {"name", config.node_name}});
      signals.stop(exit_unavailable);
    };
    try {
      node = std::make_unique<running_node>(
          config, running_node::callbacks{[&] { signals.post(ready); }, replaced});
    } catch (const std::exception& wrong) {
      std::cerr << "kgentsd: " << wrong.what() << std::endl;
      return exit_unavailable;
    }
    const auto status = signals.run(*node);
    node.reset();
    log::info("stopped");
    return status;
  } catch (const std::exception& wrong) {
    log::error("internal failure", {{"error", wrong.what()}});
    return exit_internal;
  }
}

}  // namespace kgents::gateway
