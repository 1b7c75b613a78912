# create
if gcloud compute tpus queued-resources describe babeldraw-3b --format='value(state.state)' 2>/dev/null |
    grep -qxE 'SUSPENDED|FAILED'; then
  gcloud compute tpus queued-resources delete babeldraw-3b --force --quiet
fi
gcloud compute tpus queued-resources describe babeldraw-3b >/dev/null 2>&1 ||
  gcloud compute tpus queued-resources create babeldraw-3b \
    --node-count=2 \
    --node-prefix=babeldraw-3b \
    --accelerator-type=v5litepod-256 \
    --runtime-version=v2-alpha-tpuv5-lite
until gcloud compute tpus queued-resources describe babeldraw-3b --format='value(state.state)' |
    grep -qx ACTIVE; do sleep 30; done

# install
bash launch/pack.sh build/babeldraw.tar.gz
gcloud compute tpus tpu-vm scp build/babeldraw.tar.gz babeldraw-3b-0: --worker=all
gcloud compute tpus tpu-vm scp build/babeldraw.tar.gz babeldraw-3b-1: --worker=all
gcloud compute tpus tpu-vm ssh babeldraw-3b-0 \
    --worker=all \
    --command='mkdir -p babeldraw && tar -xzf babeldraw.tar.gz -C babeldraw'
gcloud compute tpus tpu-vm ssh babeldraw-3b-1 \
    --worker=all \
    --command='mkdir -p babeldraw && tar -xzf babeldraw.tar.gz -C babeldraw'
gcloud compute tpus tpu-vm ssh babeldraw-3b-0 \
    --worker=all \
    --command='bash babeldraw/launch/worker.sh install tpu'
gcloud compute tpus tpu-vm ssh babeldraw-3b-1 \
    --worker=all \
    --command='bash babeldraw/launch/worker.sh install tpu'

# start
gcloud compute tpus tpu-vm ssh babeldraw-3b-0 \
    --worker=all \
    --command='bash babeldraw/launch/worker.sh start BABELDRAW_JOIN_SECONDS=300 TFDS_DATA_DIR=gs://BUCKET/tfds -- train --gin_file=gin/runs/text_to_image.gin --gin_file=gin/models/3b.gin --gin_file=gin/tokenizers/small_small.gin --gin_file=gin/tasks/coco.gin --config=configs/v5e_512.py '"'"'--gin.TOKENIZER_CHECKPOINT='"'"'"'"'"'"'"'"'gs://BUCKET/tokenizer'"'"'"'"'"'"'"'"''"'"' --model_dir=gs://BUCKET/babeldraw-3b'
gcloud compute tpus tpu-vm ssh babeldraw-3b-1 \
    --worker=all \
    --command='bash babeldraw/launch/worker.sh start BABELDRAW_JOIN_SECONDS=300 TFDS_DATA_DIR=gs://BUCKET/tfds -- train --gin_file=gin/runs/text_to_image.gin --gin_file=gin/models/3b.gin --gin_file=gin/tokenizers/small_small.gin --gin_file=gin/tasks/coco.gin --config=configs/v5e_512.py '"'"'--gin.TOKENIZER_CHECKPOINT='"'"'"'"'"'"'"'"'gs://BUCKET/tokenizer'"'"'"'"'"'"'"'"''"'"' --model_dir=gs://BUCKET/babeldraw-3b'

# logs
gcloud compute tpus tpu-vm ssh babeldraw-3b-0 \
    --worker=0 \
    --command='bash babeldraw/launch/worker.sh wait'

# status (later, by --do=status)
gcloud compute tpus queued-resources describe babeldraw-3b --format='value(state.state)'
gcloud compute tpus tpu-vm ssh babeldraw-3b-0 \
    --worker=all \
    --command='bash babeldraw/launch/worker.sh status'
gcloud compute tpus tpu-vm ssh babeldraw-3b-1 \
    --worker=all \
    --command='bash babeldraw/launch/worker.sh status'

# stop (later, by --do=stop)
gcloud compute tpus tpu-vm ssh babeldraw-3b-0 \
    --worker=all \
    --command='bash babeldraw/launch/worker.sh stop'
gcloud compute tpus tpu-vm ssh babeldraw-3b-1 \
    --worker=all \
    --command='bash babeldraw/launch/worker.sh stop'

# delete (later, by --do=delete)
gcloud compute tpus queued-resources delete babeldraw-3b --force --quiet
