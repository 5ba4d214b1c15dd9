#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <string_view>
#include <vector>

#include "sql/link.hpp"
#include "sql/pool.hpp"

namespace kgents::sql {

class connection;

/// What a connection tells its pool. Called on the io_context's thread.
class connection_events {
public:
  virtual void ready(connection& which) = 0;           ///< connected, or all in flight is answered
  virtual void connect_failed(connection& which) = 0;  ///< a new attempt is already scheduled
  virtual void lost(connection& which) = 0;  ///< was up; what was in flight has been answered
  virtual void answered(bool committed) = 0;

protected:
  ~connection_events() = default;
};

/// A transaction that waits for a connection.
struct pending {
  transaction work;
  callback done;
};

/// One libpq connection in pipeline mode that keeps itself connected: one slot of a pool.
class connection final : public link {
public:
  using time_point = std::chrono::steady_clock::time_point;

  /// `events` outlives the connection or its `close`.
  connection(boost::asio::io_context& context, const pool_options& options,
             connection_events& events);

  void close();    ///< for good; what is in flight is answered, nothing is called afterwards
  void abandon();  ///< like `close`, but nobody is told: the io_context is being destroyed

  [[nodiscard]] size_t in_flight() const noexcept { return flights_.size(); }

  /// Hands one transaction to libpq; call `flush` after the last of a batch. False: the connection
  /// broke before the transaction's end was sent (so it cannot commit), `lost` was called and `x`
  /// is untouched. Requires `up()`.
  [[nodiscard]] bool push(pending& x);
  void flush();

  /// Drops the connection when something in flight is past its deadline.
  void expire(time_point now);

private:
  enum class cause : uint8_t { lost, deadline };

  /// A transaction between its sending and its sync point's answer.
  struct flight {
    callback done;
    transaction work;
    std::vector<rows> results;
    std::optional<failure> error;
    bool skip_context;  // the first result is that of the tenant context and the fence
  };

  bool prepare() override;
  void connected() override;
  void connect_failed() override;
  void readable() override;
  void writable() override;

  bool send(std::string_view text, const std::vector<param>& params);
  bool send_context(const transaction& work);
  [[nodiscard]] bool receive();  // false: the connection is of no more use
  [[nodiscard]] bool take(PGresult* result);
  void answer_front(outcome result);
  void drop(cause why, time_point now = {});
  [[nodiscard]] failure verdict(flight& x, bool first, cause why, time_point now) const;

  connection_events* events_;
  std::deque<flight> flights_;
  std::vector<const char*> values_;  // scratch, kept to spare an allocation a statement
  bool writing_ = false;             // a wait for writability is under way
  bool fatal_ = false;               // the server said that it ends this connection
};

}  // namespace kgents::sql
