#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <array>
#include <chrono>
#include <deque>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/idempotency/redis_url.hpp"

struct redisReader;

namespace kgents::runtime::idempotency {

/// What Redis answered: a text (strings and statuses), a number, a list, an error or nil.
struct redis_reply {
  enum class kind : uint8_t { nil, text, number, list, error };
  kind is = kind::nil;
  std::string text;  ///< of an error: "LOADING Redis is loading …"
  int64_t number = 0;
  std::vector<redis_reply> list;
};

/// One connection to Redis: commands are pipelined, each has a deadline, and what comes late ends
/// the connection, since answers are told apart by their order only. hiredis writes and reads the
/// protocol, Asio moves the bytes. Its context's thread only.
class redis_link : public std::enable_shared_from_this<redis_link> {
public:
  /// No reply: the connection was lost before it came.
  using on_reply = std::function<void(std::optional<redis_reply>)>;

  struct callbacks {
    std::function<void()> ready;                       ///< connected, let in, answers
    std::function<void(const std::string& why)> lost;  ///< or never came about; the last call
  };

  redis_link(boost::asio::io_context& context, redis_address to,
             std::shared_ptr<boost::asio::ssl::context> tls, callbacks tell);
  ~redis_link();

  void start();
  /// Once it is ready. `command_deadline` from now.
  void send(std::initializer_list<std::string_view> command, on_reply done);
  /// Commands without an answer yet.
  [[nodiscard]] size_t waiting() const noexcept { return waiting_.size(); }
  /// No callbacks any more, but those of the commands under way.
  void close();

private:
  using clock = std::chrono::steady_clock;
  using error = boost::system::error_code;
  using tcp = boost::asio::ip::tcp;

  struct pending {
    on_reply done;
    clock::time_point due;
  };

  void resolved(error ec, tcp::resolver::results_type found);
  void connect(const tcp::resolver::results_type& found);
  void connected();
  void enter();
  void entered(const std::optional<redis_reply>& answer, bool last);
  void send_by(std::initializer_list<std::string_view> command, on_reply done,
               clock::time_point due);
  void write();
  void read();
  void took(size_t bytes);
  void watch();
  void lose(const std::string& why);

  const redis_address to_;
  callbacks tell_;
  boost::asio::ip::tcp::resolver resolver_;
  tcp::socket socket_;
  std::shared_ptr<boost::asio::ssl::context> tls_context_;  // outlives what is made from it
  std::optional<boost::asio::ssl::stream<tcp::socket&>> tls_;
  boost::asio::steady_timer timer_;
  std::unique_ptr<redisReader, void (*)(redisReader*)> reader_;
  std::array<char, 16 * 1024> input_{};
  std::string unsent_;
  std::string sending_;
  std::deque<pending> waiting_;
  clock::time_point connect_by_{};
  bool ready_ = false;
  bool over_ = false;
};

}  // namespace kgents::runtime::idempotency
