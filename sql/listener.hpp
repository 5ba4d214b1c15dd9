#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace kgents::sql {

struct listener_options {
  /// Straight to PostgreSQL: behind a pooler in transaction mode nothing is ever heard. So poll as
  /// well.
  std::string url;
  std::vector<std::string> channels;  ///< any texts; case matters
  std::chrono::milliseconds connect_timeout{2000};
  std::chrono::milliseconds reconnect_min{50};  ///< back-off with jitter between failed connects …
  std::chrono::milliseconds reconnect_max{2000};  ///< … up to this
  std::string application_name = "kgentsd-listener";
};

/// Called on the io_context's thread; must not throw; may call `stop` or destroy the listener.
struct listener_events {
  /// After each (re)connect: notifications are heard from now on, earlier ones may have been
  /// missed, so look at what they would have been about.
  std::function<void()> listening;
  std::function<void(std::string_view channel, std::string_view payload)> notified;
  /// May be empty. The connection leads to a pooler, which would give what is listened for to
  /// others: nothing will be heard, and the listener has stopped.
  std::function<void()> pooled = [] {};
};

/// One connection that LISTENs on its channels and comes back by itself when it is lost. Never blocks
/// the thread (but for the lookup of a host name, see `pool`).
///
/// A server that is gone without a word is noticed after some five seconds (TCP keepalive).
class listener {
public:
  listener(boost::asio::io_context& context, listener_options options, listener_events events);
  ~listener();  ///< stops
  listener(const listener&) = delete;
  listener& operator=(const listener&) = delete;

  /// From any thread, any number of times. Nothing is called any more once this has been called on
  /// the io_context's thread, or once what it posts there has run.
  void stop();

private:
  class impl;
  std::shared_ptr<impl> impl_;
};

/// What the database tells when a member's state or a lease changes. The payload is the version.
inline constexpr std::string_view cluster_channel = "kg_cluster";
/// And when somebody's rights change. No payload: look at the keys in use.
inline constexpr std::string_view access_channel = "kg_access";

}  // namespace kgents::sql
