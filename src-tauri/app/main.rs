fn main() { rehost_app::run() }
