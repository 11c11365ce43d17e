# The job of Sidekiq: a command, or nothing.
require "sidekiq"

Sidekiq.configure_server { |config| config.redis = { url: "unix://" + ENV["BENCH_SOCKET"] } }

class Run
  include Sidekiq::Worker
  sidekiq_options retry: false
  def perform(*command)
    Process.wait(Process.spawn(*command)) unless command.empty?
  end
end
