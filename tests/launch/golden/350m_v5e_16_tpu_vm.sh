# create
if gcloud compute tpus queued-resources describe babeldraw-350m --format='value(state.state)' 2>/dev/null |
    grep -qxE 'SUSPENDED|FAILED'; then
  gcloud compute tpus queued-resources delete babeldraw-350m --force --quiet
fi
gcloud compute tpus queued-resources describe babeldraw-350m >/dev/null 2>&1 ||
  gcloud compute tpus queued-resources create babeldraw-350m \
    --node-id=babeldraw-350m \
    --accelerator-type=v5litepod-16 \
    --runtime-version=v2-alpha-tpuv5-lite
until gcloud compute tpus queued-resources describe babeldraw-350m --format='value(state.state)' |
    grep -qx ACTIVE; do sleep 30; done

# install
bash launch/pack.sh build/babeldraw.tar.gz
gcloud compute tpus tpu-vm scp build/babeldraw.tar.gz babeldraw-350m: --worker=all
gcloud compute tpus tpu-vm ssh babeldraw-350m \
    --worker=all \
    --command='mkdir -p babeldraw && tar -xzf babeldraw.tar.gz -C babeldraw'
gcloud compute tpus tpu-vm ssh babeldraw-350m \
    --worker=all \
    --command='bash babeldraw/launch/worker.sh install tpu'

# start
gcloud compute tpus tpu-vm ssh babeldraw-350m \
    --worker=all \
    --command='bash babeldraw/launch/worker.sh start BABELDRAW_JOIN_SECONDS=300 TFDS_DATA_DIR=gs://BUCKET/tfds -- train --gin_file=gin/runs/text_to_image.gin --gin_file=gin/models/350m.gin --gin_file=gin/tokenizers/small_small.gin --gin_file=gin/tasks/coco.gin --config=configs/v5e_16.py --gin.BATCH_SIZE=512 '"'"'--gin.TOKENIZER_CHECKPOINT='"'"'"'"'"'"'"'"'gs://BUCKET/tokenizer'"'"'"'"'"'"'"'"''"'"' --model_dir=gs://BUCKET/babeldraw-350m'

# logs
gcloud compute tpus tpu-vm ssh babeldraw-350m \
    --worker=0 \
    --command='bash babeldraw/launch/worker.sh wait'

# status (later, by --do=status)
gcloud compute tpus queued-resources describe babeldraw-350m --format='value(state.state)'
gcloud compute tpus tpu-vm ssh babeldraw-350m \
    --worker=all \
    --command='bash babeldraw/launch/worker.sh status'

# stop (later, by --do=stop)
gcloud compute tpus tpu-vm ssh babeldraw-350m \
    --worker=all \
    --command='bash babeldraw/launch/worker.sh stop'

# delete (later, by --do=delete)
gcloud compute tpus queued-resources delete babeldraw-350m --force --quiet
