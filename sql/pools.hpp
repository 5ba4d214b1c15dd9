#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "sql/pool.hpp"

namespace kgents::sql {

struct pools_options {
  std::string app_url;            ///< of the shared database: silos without a secret are beside it
  std::string control_url;        ///< the same
  std::filesystem::path secrets;  ///< see silo_dsn.hpp
  /// Together at most ten to a silo (data.md section 12).
  size_t app_connections = 8;
  size_t control_connections = 2;
  std::chrono::milliseconds refresh_every{1000};             ///< how old the directory may be
  std::chrono::milliseconds idle{std::chrono::minutes{15}};  ///< unused as long: closed
};

/// Brings each transaction to the database that has its tenant's data: the shared one, or the
/// tenant's own, its silo.
///
/// Which tenants have one is read every second. That may be late, and need not be right: a database
/// refuses a tenant whose data is elsewhere (KG003), and then the directory is read at once and the
/// transaction goes where it says, unnoticed by whoever submitted it. What cannot be reached is
/// `unavailable`, for that tenant alone; nothing ever goes to the shared database instead.
///
/// Pools of silos are opened when they are needed, on the same io_context, and closed when they
/// are not. A silo whose secret has changed is opened anew once its old connections fail.
class pools {
public:
  /// `app` and `control` are those of the shared database; they outlive this object's last
  /// callback.
  pools(boost::asio::io_context& context, transactor& app, transactor& control,
        pools_options options);
  ~pools();
  pools(const pools&) = delete;
  pools& operator=(const pools&) = delete;

  /// For kg_app: by the transaction's tenant, unless it is for the control plane.
  [[nodiscard]] transactor& app() noexcept;
  /// For kg_control: by what the transaction is `about`; without that the shared database.
  [[nodiscard]] transactor& control() noexcept;

  /// Any thread, once: begins to read the directory.
  void start();
  /// Any thread, any number of times: closes what is open of silos.
  void stop();

  [[nodiscard]] size_t open() const noexcept;  ///< pools of silos; any thread

private:
  class impl;
  class side;
  std::shared_ptr<impl> impl_;
  std::unique_ptr<side> app_;
  std::unique_ptr<side> control_;
};

}  // namespace kgents::sql
