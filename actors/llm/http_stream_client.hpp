#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actors/llm/http_response_decoder.hpp"
#include "actors/llm/http_url.hpp"

namespace kgents::llm {

/// Why an exchange ended before its response did.
enum class http_fault {
  unresolved,  ///< no such host
  refused,     ///< refused, unreachable
  tls,         ///< handshake failed, or the certificate is not that host's
  cut,         ///< the connection ended
  malformed,   ///< not HTTP
};

/// TLS as a client of a public API: TLS 1.2 or later, chain and host name verified against the
/// system's authorities or, if not empty, those of `ca_file` (PEM). Throws
/// boost::system::system_error when that cannot be read.
[[nodiscard]] std::shared_ptr<boost::asio::ssl::context> make_tls_client(
    const std::string& ca_file);

/// One HTTP exchange on one connection of its own, its body read only on demand: who does not call
/// `read` is not sent to, since TCP's window closes.
///
/// Lives on one I/O thread. It has no deadline: its owner has, and calls `close`. Operations under
/// way keep it alive.
class http_stream_client : public std::enable_shared_from_this<http_stream_client> {
public:
  /// Called on the I/O thread, never from inside a call of the owner; nothing is called after
  /// `close`.
  class listener {
  public:
    virtual void
    on_connected() = 0;  ///< the request goes out; the response is being read up to its header
    virtual void on_header(const response_header& header) = 0;
    virtual void on_body(std::string_view bytes,
                         bool last) = 0;          ///< answers one `read`; may be empty
    virtual void on_fault(http_fault fault) = 0;  ///< nothing follows

  protected:
    ~listener() = default;
  };

  /// `tls` is used when the URL asks for it. `request` is the whole request as it goes over the
  /// wire.
  http_stream_client(boost::asio::io_context& context, http_url url,
                     std::shared_ptr<boost::asio::ssl::context> tls, std::string request,
                     listener& owner);

  void start();

  /// Asks for more of the body, after `on_header` and once per `on_body`.
  void read();

  /// Closes the connection and forgets the listener.
  void close();

private:
  using tcp = boost::asio::ip::tcp;
  using error = boost::system::error_code;

  void resolve();
  void connect(size_t index);
  void handshake();
  void send();
  void receive();
  void received(error ec, size_t count);
  void fail(http_fault fault);

  /// The socket or the TLS stream over it.
  template <class Use>
  void with_stream(Use use) {
    if (tls_)
      use(*tls_);
    else
      use(socket_);
  }

  http_url url_;
  std::shared_ptr<boost::asio::ssl::context> tls_context_;
  std::string request_;
  listener* owner_;
  tcp::resolver resolver_;
  tcp::socket socket_;
  std::optional<boost::asio::ssl::stream<tcp::socket&>> tls_;
  std::vector<tcp::endpoint> endpoints_;
  http_response_decoder response_;
  bool header_told_ = false;
  std::string body_;
  std::array<char, 16 * 1024> buffer_;
};

}  // namespace kgents::llm
