//! temp
//! temp
#[tokio::main]
async fn main() {
    let lab = lab::Lab::start(lab::Options::default()).await.unwrap();
    let a = lab.addresses();
    println!("{} svc-dms {} {} {}", a.sql, a.sql_password, a.share_password, a.sql_thumbprint);
    tokio::time::sleep(std::time::Duration::from_secs(3000)).await;
}
