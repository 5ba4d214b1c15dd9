#pragma once

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/cluster/hello.hpp"
#include "runtime/cluster/transport.hpp"

/// Nodes with a real transport each, a peer that says exactly what it is told, and an authority
/// that signs certificates, for the suites of this folder.
namespace kgents::runtime::cluster::testing {

using namespace std::chrono_literals;

inline constexpr auto patience = 20s;

template <class T, void (*Free)(T*)>
struct freed {
  void operator()(T* x) const { Free(x); }
};
using key_ptr = std::unique_ptr<EVP_PKEY, freed<EVP_PKEY, EVP_PKEY_free>>;
using cert_ptr = std::unique_ptr<X509, freed<X509, X509_free>>;

/// A folder with an authority and what it signed.
class authority {
public:
  authority() {
    std::string name = std::filesystem::temp_directory_path() / "kgents-peers-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    key_.reset(EVP_EC_gen("P-256"));
    cert_ = make(key_.get(), "authority", 3600, nullptr, true);
    write_cert(ca(), cert_.get());
  }
  ~authority() { std::filesystem::remove_all(folder_); }
  authority(const authority&) = delete;

  /// Signs a certificate; `usage` as openssl.cnf has it. Written over one of the same name.
  void issue(const std::string& name, long valid_seconds = 3600, const char* usage = nullptr) {
    const key_ptr key{EVP_EC_gen("P-256")};
    const auto cert = make(key.get(), name, valid_seconds, usage, false);
    write_cert(this->cert(name), cert.get());
    auto* file = std::fopen(this->key(name).c_str(), "w");
    PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(file);
  }

  [[nodiscard]] std::string ca() const { return folder_ + "/ca.pem"; }
  [[nodiscard]] std::string cert(const std::string& name) const {
    return folder_ + '/' + name + ".pem";
  }
  [[nodiscard]] std::string key(const std::string& name) const {
    return folder_ + '/' + name + ".key";
  }
  /// Of the newest certificate.
  [[nodiscard]] long serial() const noexcept { return serial_; }

private:
  static void write_cert(const std::string& path, X509* x) {
    auto* file = std::fopen(path.c_str(), "w");
    PEM_write_X509(file, x);
    std::fclose(file);
  }

  static void extend(X509* x, int what, const char* value) {
    auto* e = X509V3_EXT_conf_nid(nullptr, nullptr, what, value);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
  }

  cert_ptr make(EVP_PKEY* key, const std::string& name, long valid_seconds, const char* usage,
                bool signer) {
    cert_ptr x{X509_new()};
    X509_set_version(x.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x.get()), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(x.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x.get()), valid_seconds);
    X509_set_pubkey(x.get(), key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x.get()), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_issuer_name(x.get(), X509_get_subject_name(signer ? x.get() : cert_.get()));
    if (signer)
      extend(x.get(), NID_basic_constraints, "critical,CA:TRUE");
    if (usage != nullptr)
      extend(x.get(), NID_ext_key_usage, usage);
    X509_sign(x.get(), key_.get(), EVP_sha256());
    return x;
  }

  std::string folder_;
  key_ptr key_;
  cert_ptr cert_;
  long serial_ = 0;
};

/// Options of a node on loopback, with times that a test can wait for.
inline transport_options quick(const authority* signer = nullptr,
                               const std::string& cert = "node") {
  transport_options out;
  out.host = "127.0.0.1";
  out.cluster = "test";
  out.node_name = "tester";
  out.ping_every = 50ms;
  out.silent_after = 2s;
  out.backoff_first = 5ms;
  out.backoff_most = 50ms;
  if (signer != nullptr) {
    out.ca = signer->ca();
    out.cert = signer->cert(cert);
    out.key = signer->key(cert);
  }
  return out;
}

/// A node's transport on a thread of its own, and what it told.
class node {
public:
  explicit node(uint64_t id, transport_options options = quick()) : id{id}, thread_{0, "node"} {
    transport_ =
        make_transport(thread_, std::move(options),
                       {.up = [this](node_id x) { note("up " + text(x)); },
                        .down = [this](node_id x, std::string_view why) { heard_down(x, why); },
                        .frame = [this](node_id x, std::span<const char> f) { heard(x, f); },
                        .writable = [this](node_id x) { became_writable(x); }});
    thread_.start();
    run([&](transport& t) { t.identify({id}); });
  }
  ~node() {
    run([](transport& t) { t.stop(); });
    thread_.stop();
    thread_.join();
  }

  /// On the node's thread; waits for it.
  template <class Function>
  std::invoke_result_t<Function, transport&> run(Function f) {
    using result = std::invoke_result_t<Function, transport&>;
    const auto task =
        std::make_shared<std::packaged_task<result()>>([&] { return f(*transport_); });
    auto out = task->get_future();
    boost::asio::post(thread_.context(), [task] { (*task)(); });
    return out.get();
  }
  io_thread& thread() { return thread_; }

  [[nodiscard]] transport_peer as_peer() const {
    return {{id}, "node-" + std::to_string(id), "127.0.0.1", transport_->port()};
  }
  uint16_t port() const { return transport_->port(); }

  /// Links are wanted with these and no others.
  void keep(std::vector<transport_peer> peers) {
    run([&](transport& t) { t.keep(std::move(peers)); });
  }
  bool send(uint64_t to, std::string frame) {
    return run([&](transport& t) { return t.send({to}, std::move(frame)); });
  }
  bool linked(uint64_t to) {
    return run([&](transport& t) { return t.linked({to}); });
  }

  /// Whether all of `events` so far are exactly these, the last perhaps still to come. An event is
  /// "up ID", "down ID WHY" or "writable ID"; only the beginning of each is compared.
  bool told(std::vector<std::string> expected) {
    std::unique_lock guard{mutex_};
    changed_.wait_for(guard, patience, [&] { return events_.size() >= expected.size(); });
    return std::equal(events_.begin(), events_.end(), expected.begin(), expected.end(),
                      [](const auto& x, const auto& y) { return x.starts_with(y); });
  }
  std::string all_told() {
    std::lock_guard guard{mutex_};
    std::string out;
    for (const auto& x : events_)
      out += x + '\n';
    return out;
  }
  /// The frames so far, once there are that many.
  std::vector<std::string> frames(size_t count) {
    std::unique_lock guard{mutex_};
    changed_.wait_for(guard, patience, [&] { return frames_.size() >= count; });
    return frames_;
  }

  std::string first_frame() {
    const auto all = frames(1);
    return all.empty() ? "(none)" : all.front();
  }

  /// \name Instead of noting; called on the node's thread. Set before there are links.
  /// @{
  std::function<void(transport&, node_id, std::span<const char>)> on_frame;
  std::function<void(transport&, node_id)> on_writable;
  std::function<void(transport&, node_id)> on_down;
  /// @}

  const uint64_t id;

private:
  static std::string text(node_id x) { return std::to_string(x.value); }
  void note(std::string x) {
    std::lock_guard guard{mutex_};
    events_.push_back(std::move(x));
    changed_.notify_all();
  }
  void heard_down(node_id x, std::string_view why) {
    note("down " + text(x) + ' ' + std::string{why});
    if (on_down)
      on_down(*transport_, x);
  }
  void heard(node_id x, std::span<const char> f) {
    if (on_frame)
      return on_frame(*transport_, x, f);
    std::lock_guard guard{mutex_};
    frames_.emplace_back(f.data(), f.size());
    changed_.notify_all();
  }
  void became_writable(node_id x) {
    if (on_writable)
      return on_writable(*transport_, x);
    note("writable " + text(x));
  }

  io_thread thread_;
  std::unique_ptr<transport> transport_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> events_;
  std::vector<std::string> frames_;
};

/// Each wants a link with the other.
inline void introduce(node& x, node& y) {
  x.keep({y.as_peer()});
  y.keep({x.as_peer()});
}

inline std::string framed(std::string_view payload) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(static_cast<uint32_t>(payload.size()) >> shift));
  return out += payload;
}

/// A blocking socket with a deadline on every wait; with `secure`, TLS on it.
class raw_peer {
public:
  explicit raw_peer(uint16_t port, int receive_buffer = 0)
      : fd_{::socket(AF_INET, SOCK_STREAM, 0)} {
    if (receive_buffer > 0)
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    const timeval limit{std::chrono::seconds{patience}.count(), 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0;
  }
  ~raw_peer() { hang_up(); }
  raw_peer(const raw_peer&) = delete;

  /// TLS with what this authority signed under that name; an empty name: no certificate.
  bool secure(const authority& by, const std::string& name, int version = TLS1_3_VERSION) {
    ::signal(SIGPIPE, SIG_IGN);  // OpenSSL on a socket writes with write(2)
    context_.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_min_proto_version(context_.get(), version);
    SSL_CTX_set_max_proto_version(context_.get(), version);
    if (!name.empty()) {
      SSL_CTX_use_certificate_chain_file(context_.get(), by.cert(name).c_str());
      SSL_CTX_use_PrivateKey_file(context_.get(), by.key(name).c_str(), SSL_FILETYPE_PEM);
    }
    tls_.reset(SSL_new(context_.get()));
    SSL_set_fd(tls_.get(), fd_);
    const bool done = SSL_connect(tls_.get()) == 1;
    ERR_clear_error();
    return done;
  }
  /// Of the other side's certificate.
  long serial() {
    const cert_ptr x{SSL_get1_peer_certificate(tls_.get())};
    return ASN1_INTEGER_get(X509_get0_serialNumber(x.get()));
  }

  raw_peer& send(std::string_view bytes) {
    if (tls_) {
      size_t n = 0;
      SSL_write_ex(tls_.get(), bytes.data(), bytes.size(), &n);
      return *this;
    }
    while (!bytes.empty()) {
      const auto n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0)
        return *this;  // the node has closed; the test looks at what it said
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return *this;
  }
  /// The next frame that is no ping (or any); nothing at the end of the connection.
  std::optional<std::string> frame(bool or_ping = false) {
    for (;;) {
      const auto head = take(4);
      if (head.size() < 4)
        return std::nullopt;
      size_t size = 0;
      for (const char c : head)
        size = size << 8 | static_cast<uint8_t>(c);
      if (size > 0 || or_ping) {
        auto out = take(size);
        return out.size() == size ? std::optional{out} : std::nullopt;
      }
    }
  }
  /// The text of a refusal; what else came, if it was none.
  std::string refused() {
    const auto x = frame();
    if (!x)
      return "(nothing)";
    const auto parsed = parse_first_frame(*x);
    const auto* no = std::get_if<refusal>(&parsed);
    return no != nullptr ? no->text : "(no refusal)";
  }
  /// Says hello and hears the node's.
  bool greet(uint64_t own, uint64_t to) {
    send(framed(encode(hello{protocol_version, {own}, {to}, "test", "raw"})));
    const auto x = frame();
    return x && std::holds_alternative<hello>(parse_first_frame(*x));
  }
  /// The end of the connection, whatever comes before it.
  bool ended() {
    while (!take(4096).empty())
      ;
    return ended_;
  }
  void hang_up() {
    if (fd_ >= 0)
      ::close(std::exchange(fd_, -1));
  }

  bool connected = false;
  bool was_reset = false;

private:
  // That many bytes, fewer at the end.
  std::string take(size_t size) {
    std::string out(size, '\0');
    size_t got = 0;
    while (got < size) {
      const auto n = tls_ ? SSL_read(tls_.get(), out.data() + got, static_cast<int>(size - got))
                          : static_cast<int>(::recv(fd_, out.data() + got, size - got, 0));
      if (n <= 0) {
        was_reset = n < 0 && errno == ECONNRESET;
        ended_ = n == 0 || was_reset || tls_;
        ERR_clear_error();
        break;
      }
      got += static_cast<size_t>(n);
    }
    out.resize(got);
    return out;
  }

  int fd_;
  bool ended_ = false;
  std::unique_ptr<SSL_CTX, freed<SSL_CTX, SSL_CTX_free>> context_;
  std::unique_ptr<SSL, freed<SSL, SSL_free>> tls_;
};

}  // namespace kgents::runtime::cluster::testing
